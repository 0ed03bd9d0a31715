"""What a soak runs as a session: a program that writes numbered lines, or an agent that does and talks.

    scripted_program.py SETTINGS [--version | what Claude Code is given]

SETTINGS is a JSON file: `seed`, `lines`, `pause` in seconds, `end` ("done", "error", "silent", "never"), `kind`
("program" or "agent"), `hides` (it starts children that hide), `notes` (a directory in which it writes down, line by
line, what it has done and what it was told, so that somebody else can compare). Only the standard library.
"""

import errno
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src" / "optio_agents" / "testing"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import hiding
import numbered
from player.dialogue import Dialogue, InputEnded, Interrupted

LIFETIME = 600
"""Seconds after which a program ends by itself that nobody has ended: a soak that was killed leaves nothing."""


class Program:
    """Writes its lines, one after the other, whatever the disk is like."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.seed = settings["seed"]
        self.number = 0
        self.announced = 0
        self.dice = random.Random(f"{self.seed} program")
        self._log = os.open(os.environ["OPTIO_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._notes = os.open(f"{settings['notes']}/done", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, **what: object) -> None:
        os.write(self._notes, json.dumps(what).encode() + b"\n")

    def next_line(self) -> None:
        """Write the line that comes next, its deliverable first."""
        written = numbered.line(self.seed, self.number)
        if written.startswith(b"DELIVERABLE: file-"):
            self._hand_over(numbered.name_of(self.number), numbered.content(self.seed, self.number))
        self.announced += written.startswith(b"DELIVERABLE: ")
        self.number += 1
        self.say(written)

    def say(self, text: bytes) -> None:
        """Append a line, in pieces now and then, as programs do whose buffer is full."""
        whole = text + b"\n"
        cut = self.dice.randrange(len(whole)) if self.dice.random() < 0.1 else 0
        for piece in (whole[:cut], whole[cut:]):
            write(self._log, piece)
            if cut:
                time.sleep(0.01)
        self.note(line=text.decode("latin-1"))

    def end(self) -> None:
        match self.settings["end"]:
            case "done":
                self.say(b"DONE: %d lines" % self.number)
            case "error":
                self.say(b"ERROR: after %d lines" % self.number)
            case "silent":
                sys.exit(3)
            case _:
                time.sleep(LIFETIME)

    def _hand_over(self, name: str, content: bytes) -> None:
        path = os.path.join(os.environ["OPTIO_DELIVERABLES"], name)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        write(file, content)
        os.close(file)

    def answered(self) -> int:
        """How many answers there are to what it announced."""
        try:
            return Path(os.environ["OPTIO_REPLIES"]).read_bytes().count(b"\n")
        except OSError:
            return 0


def write(file: int, data: bytes) -> None:
    """All of it, however often the disk is full meanwhile."""
    while data:
        try:
            data = data[os.write(file, data) :]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            time.sleep(0.05)


def run(program: Program) -> None:
    """Write every line, waiting for the answers now and then, and end."""
    settings = program.settings
    for _ in range(settings["lines"]):
        program.next_line()
        if program.dice.random() < 0.3:
            time.sleep(settings["pause"])
        if program.dice.random() < 0.05:
            until(lambda: program.answered() >= program.announced)
    until(lambda: program.answered() >= program.announced)
    program.end()


def talk(program: Program) -> None:
    """Take what it is told, a turn each: write lines, ask about tools, answer; until it is told to finish."""
    with open(f"{program.settings['notes']}/played", "a", encoding="ascii") as played:
        sys.stdin = Ears(f"{program.settings['notes']}/told")  # type: ignore[assignment]
        dialogue = Dialogue(played, "00000000-0000-4000-8000-000000000000")
        sys.stdout = Mouth()  # type: ignore[assignment]
        # Ids of questions are told apart across sessions by their users, as those of Claude Code can be.
        dialogue._requests = 10**6 * (10**8 + program.seed)
        try:
            while True:
                with suppress(Interrupted):
                    turn(program, dialogue, dialogue.be_in_a_turn())
        except InputEnded:
            pass


def turn(program: Program, dialogue: Dialogue, told: str) -> None:
    dice = program.dice
    for _ in range(dice.randrange(4)):
        program.next_line()
        time.sleep(program.settings["pause"])
    # What the harness says needs no tool: else its answers and the agent's questions would never end.
    for _ in range(0 if told.startswith("System: ") else dice.randrange(3)):
        use = f"use-{program.number}-{dice.randrange(10**9)}"
        call = {"command": f"step {use}"}
        dialogue.speak({"type": "tool_use", "id": use, "name": "Bash", "input": call})
        dialogue.ask("Bash", call, use)
        dialogue.await_decision(use)
        why_not, _ = dialogue.decision(use)
        dialogue.feed(
            {"type": "tool_result", "tool_use_id": use, "content": why_not or "ok", "is_error": bool(why_not)}
        )
    dialogue.speak({"type": "text", "text": f"heard: {told[:50]}"})
    if told.startswith("finish"):
        program.end()
    dialogue.end_turn(0.01)


class Ears:
    """stdin, with a copy of every byte on the disk before it is heard."""

    def __init__(self, copy: str) -> None:
        self._copy = os.open(copy, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def readline(self) -> str:
        line = sys.__stdin__.buffer.readline()  # type: ignore[union-attr]
        os.write(self._copy, line)
        return line.decode()


class Mouth:
    """stdout, which waits for room on the disk."""

    def write(self, text: str) -> int:
        write(1, text.encode())
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def until(so: Callable[[], bool]) -> None:
    """The driver may be away for long; it is never away for ever."""
    deadline = time.monotonic() + LIFETIME
    while not so() and time.monotonic() < deadline:
        time.sleep(0.02)


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    if "--version" in sys.argv:
        print("0.0.0 (scripted)")
        return
    program = Program(settings)
    if settings["hides"]:
        subprocess.run(["sh", "-c", hiding.script(settings["hides"])[0]], check=True)
    (talk if settings["kind"] == "agent" else run)(program)


if __name__ == "__main__":
    main()
