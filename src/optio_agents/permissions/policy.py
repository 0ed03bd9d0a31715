"""A policy: rules in an order, and what they say of a tool call. Pure, but for reading the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from .call import ToolCall
from .case import Case
from .decision import NO_RULE, Decision, Judged, decided
from .parts import parts_of
from .rule import Part, Rule

BUILT_IN = "built-in"
"""The name of the policy that ships."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What an agent may do without a person being asked.

    Attributes:
        rules: in their order; of those that match, the last one decides.
        cases: what the file says shall come out; see `failures`.
    """

    rules: tuple[Rule, ...]
    cases: tuple[Case, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> "Policy":
        """Read a policy file. Raises PolicyError, with every problem and its line."""
        from .document import read_file

        return read_file(Path(path))

    @classmethod
    def loads(cls, text: str, name: str = "policy") -> "Policy":
        """Read a policy from text.

        Parameters:
            text: TOML; docs/policy.md says what may stand in it.
            name: what errors call it.

        Raises PolicyError, with every problem and its line.
        """
        from .document import read_text

        return read_text(text, name)

    @classmethod
    def built_in(cls) -> "Policy":
        """The policy that ships: reading in the working directory is allowed, the session's directory is denied."""
        return cls.loads(built_in_text(), BUILT_IN)

    def decide(self, call: ToolCall, resolved: Mapping[str, str | None]) -> Decision:
        """What it says of a tool call. Whatever the call is, this raises nothing.

        Parameters:
            call: what the agent wants to do.
            resolved: for each of `named_paths(call)`, where it leads on the host: absolute, no symbolic link in it.
                What is missing or None could not be resolved, and is never allowed as a path.
        """
        about: dict[tuple[str, bool, int, int, str | None], tuple[Rule, ...]] = {}
        judged: list[Judged] = []
        for part in parts_of(call, resolved):
            # A command may name a thousand paths, and its words are the same each time.
            key = (part.tool, part.appends, id(part.words), id(part.opened_for), part.places.cwd)
            if key not in about:
                about[key] = tuple(each for each in reversed(self.rules) if each.is_about(part, call))
            found = _judged(part, next((each for each in about[key] if each.path_matches(part)), None))
            if found:
                judged.append(found)
        return decided(judged or [Judged(call.tool, "ask", None, "it runs nothing")])


def _judged(part: Part, rule: Rule | None) -> Judged | None:
    """What the last rule that matches says of a part; None: nothing that counts."""
    if rule is not None and rule.decision == "deny":
        return Judged(part.what, "deny", rule, rule.reason)
    if part.only_deny:
        return None
    if part.doubts:
        return Judged(part.what, "ask", None, "; ".join(part.doubts))
    if rule is None:
        return Judged(part.what, "ask", None, NO_RULE)
    if rule.decision == "allow" and part.words and part.word_for_word and rule.leaves_open(part.words):
        return Judged(part.what, "ask", None, f"it runs other commands, and {rule} does not name it word for word")
    return Judged(part.what, rule.decision, rule, rule.reason)


def built_in_text() -> str:
    """The policy that ships, as TOML."""
    return resources.files(__package__).joinpath("built_in.toml").read_text()
