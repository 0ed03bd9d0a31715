"""The command group: names and help. A command's own module is imported only when that command is called."""

from importlib import import_module

import click

COMMANDS = {
    "prompt": "Print the text that teaches an agent the log channel.",
    "run": "Run a program here, follow its log, and bring its deliverables home.",
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
        command = import_module(f".{cmd_name}", __package__).command
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
      optio run --timeout 2h --deliverables out -- python agent.py "Fix the failing test"
      optio prompt >> AGENTS.md
    """
