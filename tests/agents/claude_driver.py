"""A driver of a real Claude Code that is to be killed: a program, for the tests of kill -9.

    claude_driver.py ROOT PROGRAM ENV PROMPT [--allow] [--note]

It starts a session below ROOT with the program, in ROOT/task/workdir and with an environment given as JSON, tells it
the prompt, and drives it for as long as it may. With `--allow` it allows what the agent asks, with `--note` it has the
hook and the tool of `noting_extensions`. OPTIO_TEST_SSHD names an sshd to reach this machine by, as for `crash_driver`.
"""

import argparse
import json
from pathlib import Path

import anyio
from crash_driver import machine
from noting_extensions import Noting

from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.conversation.contract import PermissionDecision
from optio_agents.journal import open_store
from optio_agents.session import Session

SESSION = "5e55105"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("program")
    parser.add_argument("env", type=json.loads)
    parser.add_argument("prompt")
    parser.add_argument("--allow", action="store_true")
    parser.add_argument("--note", action="store_true")
    anyio.run(drive, parser.parse_args())


async def drive(given: argparse.Namespace) -> None:
    """Drive it, until killed."""
    async with open_store(store_url(given.root)) as store:
        host = machine(given.root / "task")
        await host.connect()
        session = await Session.start(
            host,
            store,
            agent=ClaudeCode(executable=given.program, env=given.env),
            prompt=given.prompt,
            cwd=host.workdir,
            make_cwd=True,
            deliverables=str(given.root / "out"),
            state_dir=str(given.root / "sessions"),
            session_id=SESSION,
            hooks=Noting(given.root).hooks if given.note else (),
            tools=Noting(given.root).tools if given.note else (),
        )
        if given.allow:
            session.conversation.on_permission_request(lambda request: PermissionDecision("allow"))
        await session.wait()


def store_url(root: Path) -> str:
    """Where it keeps the journal."""
    return f"sqlite://{root}/journal.db"


if __name__ == "__main__":
    main()
