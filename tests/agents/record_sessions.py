"""Records the sessions in recordings/ anew: the real Claude Code under the real command, its model a script.

    python tests/agents/record_sessions.py

What names this machine is replaced: its directories, its name.
"""

import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from claude_rig import ClaudeRig, claude_rig
from model_api import Hold, Say, Use, bash
from optio_bench import Bench, rest_of, wait_for

RECORDINGS = Path(__file__).parent / "recordings"
POLICY = RECORDINGS / "policy.toml"

DONE = 'printf "DONE: reported\\n" >> "$OPTIO_LOG"'
REPORT = 'cp report.md "$OPTIO_DELIVERABLES/report.md" && echo "DELIVERABLE: report.md" >> "$OPTIO_LOG"'
SUBAGENT = Use((("Task", {"description": "work", "prompt": "SCENARIO:sub", "subagent_type": "general-purpose"}),))
SCRIPT = {
    "asked": [
        bash("sh check.sh && cat notes/todo.md"),
        bash("echo 2 > version.txt"),
        bash(DONE),
        Say("It is version 2 now."),
    ],
    "denied": [bash("sh check.sh && git push origin main"), Hold("I am writing a long answer")],
    "after": [bash(DONE), Say("I have stopped.")],
    "adopted": [
        bash("make report"),
        bash("make report"),
        bash(REPORT),
        Say("I wait for what is said of it."),
        SUBAGENT,
        Say("A subagent is at it."),
        bash(DONE),
        Say("That was it."),
    ],
    "sub": [bash("echo sub > sub.txt"), Say("The file is written.")],
}


def question(bench: Bench, *known: str) -> dict[str, Any]:
    """An open question that is for a person, once there is one; none of those that are known."""
    return wait_for(
        lambda: [
            each
            for each in bench.run("permissions", "--json").events
            if each["id"] not in known and each["waits_for"] == "person"
        ],
        "a question",
    )[0]


def allowed_and_asked(bench: Bench, claude: ClaudeRig) -> str:
    """What the policy allows, and what it leaves to a person: a file behind a link that leads out, and a change."""
    session = bench.run("run", "--detach", "--agent", "claude", "SCENARIO:asked").out.strip()
    known: list[str] = []
    for _ in range(2):
        known.append(question(bench, *known)["id"])
        assert bench.run("approve", known[-1]).code == 0
    assert bench.run("attach", session).code == 0
    return session


def denied_and_interrupted(bench: Bench, claude: ClaudeRig) -> str:
    """What the policy denies; then a person interrupts the turn, and says something else."""
    session = bench.run("run", "--detach", "--agent", "claude", "SCENARIO:denied").out.strip()
    claude.api.until_held()
    assert bench.run("interrupt", session).code == 0
    wait_for(lambda: bench.run("logs", "--json", session).data("turn.ended"), "the end of the turn")
    assert bench.run("send", session, "SCENARIO:after").code == 0
    assert bench.run("attach", session).code == 0
    return session


def killed_and_adopted(bench: Bench, claude: ClaudeRig) -> str:
    """Its driver is killed while a question is open; what is then always allowed is; a deliverable and a subagent."""
    running = bench.start_optio("run", "--json", "--agent", "claude", "SCENARIO:adopted", "--deliverables", "out")
    first = question(bench)
    running.kill()
    rest_of(running)
    assert bench.run("approve", first["id"], "--always").code == 0  # and starts a driver
    known = [first["id"]]
    known.append(question(bench, *known)["id"])
    assert bench.run("deny", known[-1], "--message", "Not this file.").code == 0
    assert bench.run("attach", first["session"]).code == 0
    session: str = first["session"]
    return session


SESSIONS: tuple[Callable[[Bench, ClaudeRig], str], ...] = (
    allowed_and_asked,
    denied_and_interrupted,
    killed_and_adopted,
)


@contextmanager
def scene() -> Iterator[tuple[Path, Bench, ClaudeRig]]:
    """A working directory with a project in it, and the program on the PATH."""
    with (
        tempfile.TemporaryDirectory(prefix="optio-record-") as base,
        claude_rig(Path(base, "claude"), SCRIPT) as claude,
    ):
        programs = Path(base, "programs")
        programs.mkdir()
        (programs / "claude").symlink_to(claude.program)
        bench = Bench(Path(base))
        bench.env.update(claude.env, PATH=f"{programs}:{os.environ['PATH']}", OPTIO_POLICY=str(POLICY))
        (bench.cwd / "check.sh").write_text("echo all is well\n")
        (bench.cwd / "report.md").write_text("all is well\n")
        (bench.cwd / "Makefile").write_text("report:\n\t@echo made\n")
        elsewhere = Path(base, "elsewhere")
        elsewhere.mkdir()
        (elsewhere / "todo.md").write_text("the next version\n")
        (bench.cwd / "notes").symlink_to(elsewhere)
        try:
            yield Path(base), bench, claude
        finally:
            bench.close()


def main() -> None:
    """Record them all."""
    for record in SESSIONS:
        with scene() as (base, bench, claude):
            session = record(bench, claude)
            exported = bench.run("export", session, "-")
            assert exported.code == 0, exported.err
        text = exported.out.replace(str(base), "/home/user").replace(platform.node(), "workstation")
        # Claude Code names directories of its own after the one that it works in.
        text = text.replace(re.sub(r"[^A-Za-z0-9]", "-", str(base)), "-home-user")
        (RECORDINGS / f"{record.__name__}.jsonl").write_text(text)
        print(f"{record.__name__}: {len(text.splitlines())} lines")


if __name__ == "__main__":
    main()
