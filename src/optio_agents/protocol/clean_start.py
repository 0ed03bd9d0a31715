"""What must not be cleared away when a session starts clean: a durable run that may still be alive."""

import shlex

from optio_host.host import Host

from ..errors import RunInTheWay

# A run writes `exit` once it has ended (docs/sessions.md). Asked by the shell alone: any published host can do it.
_UNFINISHED = r"""
for run in {taskdir}/run/*/; do
    if [ -d "$run/claim" ] && [ ! -e "$run/exit" ]; then printf 'optio-unfinished %s\n' "$run"; fi
done
"""

MARK = "optio-unfinished "


async def refuse_unfinished_runs(host: Host) -> None:
    """Raise RunInTheWay when the host's task directory holds a durable run that is not known to have ended."""
    result = await host.run_command(_UNFINISHED.format(taskdir=shlex.quote(host.taskdir)), cwd="/")
    runs = [line.removeprefix(MARK).rstrip("/") for line in result.stdout.splitlines() if line.startswith(MARK)]
    if runs:
        raise RunInTheWay(runs[0])
