"""The command group: names and help. A command's own module is imported only when that command is called."""

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

SECTIONS = {
    "Run a program": {
        "run": "Run a program, follow its log, and bring its deliverables home.",
        "pull": "Bring back the files that a program has changed.",
        "doctor": "Say whether a host can be used, what is slow, and what to do.",
        "prompt": "Print the text that teaches an agent the log channel.",
    },
    "Look at sessions": {
        "ls": "List sessions.",
        "show": "Show one session, and why it stopped.",
        "attach": "Watch a session, live, to its end.",
        "logs": "Print the events of a session.",
    },
    "Talk with agents": {
        "chat": "Talk with an agent, or join a session.",
        "permissions": "List what agents wait to be told.",
        "approve": "Allow what an agent asks.",
        "deny": "Do not allow what an agent asks.",
        "send": "Say something to an agent.",
        "interrupt": "Stop what an agent is doing.",
        "policy": "Check a policy file, and try it on what an agent has asked.",
        "replay": "Make the decisions of an exported session again, and compare.",
    },
    "Act on sessions": {
        "cancel": "End a session, whoever drives it.",
        "adopt": "Start drivers for sessions whose driver is gone.",
        "drive": "Be the driver of a session, in the background.",
    },
    "Keep and clear away": {
        "export": "Write a session to a file.",
        "import": "Read a session from a file.",
        "prune": "Forget old sessions.",
        "jobs": "List the runs on a host, with or without a session.",
        "reap": "Clear away what is left of runs whose directory is gone.",
    },
}


class LazyGroup(click.Group):
    """A group that knows its commands' one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of the sections."""
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself; its module is imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = "import_" if cmd_name == "import" else cmd_name
        command = import_module(f".{module}", __package__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their one-line help, by section."""
        width = max(map(len, self.list_commands(ctx)))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])

    def __call__(self, *words: Any, **settings: Any) -> Any:
        """Be the command `optio`. What cannot be printed, as on a full disk, is said in one line, if that can be."""
        _open_streams()
        try:
            return super().__call__(*words, **settings)
        except OSError as error:  # any other was turned into a message before
            with suppress(OSError):
                os.write(sys.stderr.fileno(), f"Error: what there is to say cannot be printed: {error}\n".encode())
            # Python writes what is buffered once more when it exits; that must not fail again.
            for stream in (sys.stdout, sys.stderr):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> object:
        """Carry out a command. It is no failure when the reader of its output has seen enough, as `head` has."""
        # A path need not be UTF-8. Half a surrogate pair goes out as \udcff, which is what JSON writes for it.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return None
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            try:
                sys.stdout.flush()
            except BrokenPipeError:
                # Python writes what is buffered once more when it exits; that must not fail again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_streams() -> None:
    """Let stdin, stdout and stderr be there: whoever starts us may have closed them, as `>&-` does."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - as long as the process


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="optio-agents", prog_name="optio")
def main() -> None:
    """Drive long-running coding agents, and never lose one.

    A program that runs is a session. It outlives the command that started it; a session is named by its ID, or by as
    much of it as no other begins with.

    \b
    Examples:
      optio run -- ./nightly-report.sh
      optio run --detach --timeout 2h -- python agent.py "Fix the failing test"
      optio ls
      optio attach 3f
      optio prompt >> AGENTS.md
    """
