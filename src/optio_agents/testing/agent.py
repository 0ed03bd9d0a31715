"""An agent that is a script: it speaks Claude Code's protocol, and needs no model, no login and no network."""

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from shlex import quote
from typing import Any

from optio_host.errors import HostError
from optio_host.testing.fake.script import ScriptFailed

from ..conversation.claude_code import ClaudeCode
from ..journal import new_id
from ..session import SessionHost
from .script import to_script
from .steps import AtOnce, EndsTurn, Exits, Fails, Step, Waits

TIMEOUT = 30
"""Seconds after which a command on the host is given up; each takes milliseconds."""

PYTHON = "python3 -I -S -c 'import sys; sys.exit(sys.version_info < (3, 10))'"


@dataclass(frozen=True, slots=True)
class Decided:
    """What the agent was told when it had asked.

    Attributes:
        tool: the tool that it asked about; "AskUserQuestion" for `Asks`.
        asked: what it would have called it with.
        allowed: whether it may.
        input: for a yes: what it is to call it with; with the answers, for `Asks`.
        message: for a no: why.
    """

    tool: str
    asked: Mapping[str, object]
    allowed: bool
    input: Mapping[str, object]
    message: str


@dataclass(frozen=True, slots=True)
class Hooked:
    """What the agent was told by a hook that it has called.

    Attributes:
        event: "PreToolUse", "PostToolUse", "UserPromptSubmit" or "Stop".
        hook: name of the hook.
        tool: the tool that it was about; "": none.
        answer: what it said, as it goes to Claude Code.
    """

    event: str
    hook: str
    tool: str
    answer: Mapping[str, object]


class FakeAgent:
    """A stand-in for Claude Code on any host with `python3` 3.10 or newer. It follows its script, whatever it is told.

        fake = FakeAgent(UsesTool("Bash", {"command": "make"}, "ok"), Says("Built."), EndsTurn())
        async with open_conversation(host, await fake.install(host), permissions=decide) as conversation:
            await conversation.ask("Build it.")
        await fake.verify()

    What it is told during a turn waits for the next one. When it is told something and no turn is left, it says so and
    ends with exit status 1, so that the session fails. A second session with the same agent begins the script again.

    Parameters:
        steps: what it does. The last one ends a turn, or waits.

    Raises ValueError for a script whose last turn never ends, TypeError for what is no step or no JSON.
    """

    def __init__(self, *steps: Step) -> None:
        self._steps = steps
        self._script = json.dumps([to_script(each) for each in steps], allow_nan=False)
        in_turns = [each for each in steps if not isinstance(each, AtOnce)]
        if in_turns and not isinstance(in_turns[-1], EndsTurn | Fails | Exits | Waits):
            raise ValueError(f"the script ends with {in_turns[-1]!r}, in the middle of a turn: add EndsTurn()")
        self._host: SessionHost | None = None
        self._directory = ""

    async def install(self, host: SessionHost) -> ClaudeCode:
        """Put it into a directory of its own below the host's task directory; what to start. Raises HostError."""
        directory = posixpath.join(host.taskdir, f"fake-agent-{new_id()}")
        program, script, played = (posixpath.join(directory, name) for name in ("claude", "script.json", "played"))
        await _run(host, f"umask 077 && mkdir -p {quote(directory)}/player && {PYTHON}")
        source = files("optio_agents.testing") / "player"
        for name in ("__init__.py", "dialogue.py", "play.py", "registered.py"):
            await host.put_file_to_host((source / name).read_bytes(), posixpath.join(directory, "player", name))
        # Python takes a directory with this file for a program, and finds modules in it even with -I.
        await host.put_file_to_host(b"from player.play import main\n\nmain()\n", f"{directory}/__main__.py")
        await host.put_file_to_host(self._script.encode(), script)
        await host.put_file_to_host(b"", played)
        words = " ".join(map(quote, (directory, script, played)))
        await host.put_file_to_host(f'#!/bin/sh\nexec python3 -I -S {words} "$@"\n'.encode(), program)
        await _run(host, f"chmod 700 {quote(program)}")
        self._host, self._directory = host, directory
        return ClaudeCode(executable=program)

    async def heard(self) -> list[str]:
        """Everything that it was told, in order: prompts, and what the harness says of deliverables.

        Raises ScriptFailed when it could not follow its script; HostError when the host does not answer.
        """
        return [str(each["told"]) for each in await self._played() if "told" in each]

    async def decisions(self) -> list[Decided]:
        """What it was told each time it had asked. Raises what `heard` does."""
        return [Decided(**each["decided"]) for each in await self._played() if "decided" in each]

    async def hooked(self) -> list[Hooked]:
        """What each hook has said, in order. Raises what `heard` does."""
        return [Hooked(**each["hooked"]) for each in await self._played() if "hooked" in each]

    async def verify(self) -> None:
        """Look whether the script was followed to its end. Raises ScriptFailed when not, and what `heard` does."""
        done = {each["step"] for each in await self._played() if "step" in each}
        left = [step for number, step in enumerate(self._steps) if number not in done]
        if left:
            raise ScriptFailed(f"the agent never came to {len(left)} of its steps: first {left[0]!r}")

    async def _played(self) -> list[dict[str, Any]]:
        if self._host is None:
            raise ScriptFailed("the agent is on no host: start what `install` returns")
        played = await self._host.fetch_bytes_from_host(posixpath.join(self._directory, "played"))
        # A line without its end is just being written.
        lines = [json.loads(line) for line in played[: played.rfind(b"\n") + 1].splitlines()]
        for line in lines:
            if "problem" in line:
                raise ScriptFailed(line["problem"])
        return lines


async def _run(host: SessionHost, command: str) -> None:
    ran = await host.run_command(command, cwd="/", timeout=TIMEOUT)
    if ran.exit_code != 0:
        problem = ran.stderr.strip() or f"exit status {ran.exit_code}"
        raise HostError(
            f"no fake agent can be put on this host: is there a python3 of 3.10 or newer? {command}: {problem}"
        )
