"""A command whose children do everything to outlive it, and the proof that they did not."""

from ...host import RunResult
from .ground import Ground, until

SECRET = "correct horse battery staple"

STUBBORN = """
trap '' TERM HUP
sleep 300 & echo $!
setsid sh -c 'echo $$; exec sleep 300' &
(setsid sh -c 'echo $$; exec sleep 300' &)
nohup sh -c 'echo $$; exec sleep 300' 2>/dev/null </dev/null &
"""
"""Prints four process ids, a line each: a grandchild; one in a session of its own; one that has lost its parent too;
one under nohup. All of them ignore TERM, and so does the process itself. What it does next, the caller appends."""


def pids_in(output: str) -> list[int]:
    """The process ids that STUBBORN printed."""
    pids = [int(word) for word in output.split()]
    assert len(pids) == 4, f"four process ids were expected: {output!r}"
    return pids


async def nothing_lives(ground: Ground, pids: list[int]) -> None:
    """AssertionError when one of these processes is still there."""
    left = await ground.alive(*pids)
    if left:
        await ground.machine.run_command(f"kill -9 {' '.join(map(str, left))}")
    assert not left, f"of {pids} these survived: {left}"


async def secret_is_in_no_process_list(ground: Ground) -> None:
    """AssertionError when SECRET stands in the arguments of any process of the host."""
    # Put together over there, so that the search does not find itself.
    found: RunResult = await ground.machine.run_command(
        "horse=battery; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >args; ps -A -o args= >>args 2>/dev/null; "
        'grep -c "correct horse $horse staple" args; grep -c . args'
    )
    secret, lines = found.stdout.split()
    assert int(lines) > 0, "no process could be seen"
    assert secret == "0", "an addition to the environment stands in the process list"


async def begun(ground: Ground, name: str) -> None:
    """Return when a file of the workdir is there."""

    async def is_there() -> bool:
        return name in await ground.far.names(ground.host.workdir)

    await until(is_there, f"{name} in the workdir")
