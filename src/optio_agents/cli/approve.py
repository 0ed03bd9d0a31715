"""`optio approve`: allow what an agent asks."""

import json
from collections.abc import Callable
from pathlib import Path

import click

from ..conversation.judging import asked_of
from ..conversation.questions import tool_of
from ..errors import PolicyError
from ..events import rfc3339
from ..journal import JsonObject, Question, SessionRecord, Store
from .carry_out import carry_out
from .inbox import ask_driver, find_question
from .options import store_option
from .said_by_agent import in_words
from .visible import visible


@click.command()
@click.argument("question", metavar="ID")
@click.option("--input", "edited", default="", metavar="JSON", help="Call the tool with this instead.")
@click.option("--always", is_flag=True, help="Also when the very same is asked again in this session.")
@click.option(
    "--policy",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --always: and in every session with this policy file, to which a rule is added.",
)
@store_option
def command(question: str, edited: str, always: bool, policy: Path | None, store_url: str | None) -> None:
    """Allow an agent to use a tool that it has asked for; ID is of the question, or as much of it as no other has.

    With --always, the same use is not asked about again in this session: the very same command, or for a tool that
    reads or writes a file the same file. With --policy, a rule for just this use is added to FILE, which is made if it
    is not there. What no rule can say exactly is refused, and nothing is allowed.

    Exit status: 0 when it is allowed, 1 when it was too late or nobody has taken it, 2 for a wrong ID, or when no rule
    can be added.

    \b
    Examples:
      optio approve 5f3a
      optio approve 5f3a --always
      optio approve 5f3a --always --policy policy.toml
      optio approve 5f3a --input '{"command": "make test"}'
    """
    if policy is not None and not always:
        raise click.UsageError("--policy is for what is always allowed: add --always")
    data: JsonObject = {"always": True} if always else {}
    if edited:
        data["input"] = _object(edited)

    async def approve(store: Store) -> list[str]:
        snapshot, found = await find_question(store, question)
        add = None if policy is None else _addition(policy, snapshot.record, found)
        await ask_driver(store, snapshot.record.id, "approve", {"question": found.id, **data})
        tool, tool_input = tool_of(found)
        said = [f"allowed: {visible(tool)}: {visible(edited) if edited else in_words(tool_input)}"]
        return said if add is None else [*said, add()]

    for line in carry_out(approve, store_url):
        click.echo(line)


def _addition(file: Path, record: SessionRecord, question: Question) -> Callable[[], str]:
    """What adds the rule, once it has been looked whether there is one; and says so. Raises click.UsageError."""
    from ..permissions.written_back import NEW, read_policy, with_rule, write_back

    if question.kind != "permission":
        raise click.UsageError(f"a {question.kind} is answered once: no rule answers for a person")
    call, resolved = asked_of(record, question)
    reason = f"a person always allowed it when session {record.id} asked ({rfc3339(question.asked)[:10]})"
    try:
        before = read_policy(file)
        after = with_rule(NEW if before is None else before, str(file), call, resolved, reason)
    except (PolicyError, OSError) as error:
        raise click.UsageError(visible(str(error))) from error

    def add() -> str:
        if after == before:
            return f"{visible(str(file))} allows it already"
        try:
            write_back(file, before, after)
        except (PolicyError, OSError) as error:
            raise click.ClickException(f"it is allowed, and not added: {visible(str(error))}") from error
        return f"added to {visible(str(file))}"

    return add


def _object(text: str) -> JsonObject:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--input is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError('--input is no JSON object, such as \'{"command": "make test"}\'')
    return value
