"""The command group: names and help. A command's own module is imported only when that command is called."""

from importlib import import_module

import click

COMMANDS = {
    "adopt": "Start drivers for sessions whose driver is gone.",
    "attach": "Watch a session, live, to its end.",
    "cancel": "End a session, whoever drives it.",
    "drive": "Be the driver of a session, in the background.",
    "export": "Write a session to a file.",
    "import": "Read a session from a file.",
    "jobs": "List the runs on this machine.",
    "logs": "Print the events of a session.",
    "ls": "List sessions.",
    "prompt": "Print the text that teaches an agent the log channel.",
    "prune": "Forget old sessions.",
    "reap": "Clear away what is left of runs whose directory is gone.",
    "run": "Run a program here, follow its log, and bring its deliverables home.",
    "show": "Show one session and its timeline.",
}


class LazyGroup(click.Group):
    """A group that knows its commands' one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of the table."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself; its module is imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = "import_" if cmd_name == "import" else cmd_name
        command = import_module(f".{module}", __package__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their one-line help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="optio-agents", prog_name="optio")
def main() -> None:
    """Drive long-running coding agents, and never lose one.

    \b
    Examples:
      optio run -- ./nightly-report.sh
      optio run --detach --timeout 2h -- python agent.py "Fix the failing test"
      optio ls
      optio attach 3f
      optio prompt >> AGENTS.md
    """
