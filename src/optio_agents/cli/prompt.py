"""`optio prompt`: the block that teaches an agent the log channel."""

import click

from ..protocol.protocol import get_protocol


@click.command()
def command() -> None:
    """Print the text that teaches an agent the log channel.

    Put it where the agent reads its instructions. The paths in it are the environment variables that `optio run` sets.

    \b
    Examples:
      optio prompt >> AGENTS.md
      optio run -- my-agent --instructions "$(optio prompt)" "Fix the failing test"
    """
    protocol = get_protocol(
        log_path="$OPTIO_LOG", deliverables_dir="$OPTIO_DELIVERABLES", replies_path="$OPTIO_REPLIES"
    )
    click.echo(protocol.documentation, nl=False)
