"""Promises about launched processes, and the ways they end."""

import anyio

from ...host import ProcessHandle, proc_wait
from .ground import Ground, collect, take
from .trees import SECRET, STUBBORN, nothing_lives, pids_in, secret_is_in_no_process_list


async def _stubborn_pids(handle: ProcessHandle) -> list[int]:
    lines = await take(aiter(handle.stdout), 4)
    return pids_in(b"".join(lines).decode())


async def a_process_gives_lines_of_bytes_with_their_ends(ground: Ground) -> None:
    """As they were written, the last one without an end if it had none."""
    handle = await ground.machine.launch_subprocess(r"printf 'a\377\r\n\n\0b\nend'")
    assert [line async for line in handle.stdout] == [b"a\xff\r\n", b"\n", b"\0b\n", b"end"]
    assert (handle.stderr, handle.stdin, await proc_wait(handle)) == (None, None, 0)


async def a_line_is_never_cut_however_long(ground: Ground) -> None:
    """3 MB of JSON on one line are one line."""
    handle = await ground.machine.launch_subprocess("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next")
    lines = [line async for line in handle.stdout]
    assert [len(line) for line in lines] == [3_000_001, 5]
    assert await proc_wait(handle) == 0


async def streams_are_merged_unless_asked_apart(ground: Ground) -> None:
    """A warning on stderr does not land inside a line of JSON when the caller asked for that."""
    command = "echo out; echo err >&2; echo out"
    merged = await ground.machine.launch_subprocess(command)
    assert merged.stderr is None
    assert await collect(merged.stdout) == b"out\nerr\nout\n"
    apart = await ground.machine.launch_subprocess(command, merge_stderr=False)
    assert apart.stderr is not None
    assert (await collect(apart.stdout), await collect(apart.stderr)) == (b"out\nout\n", b"err\n")
    assert [await proc_wait(merged), await proc_wait(apart)] == [0, 0]


async def a_process_is_talked_to_line_by_line(ground: Ground) -> None:
    """What is written arrives without waiting for more, any bytes, until the end of input is given."""
    handle = await ground.machine.launch_subprocess(
        'while IFS= read -r line; do printf "got %s\\n" "$line"; done; echo ended', stdin=True
    )
    assert handle.stdin is not None
    lines = aiter(handle.stdout)
    for word in (b"one", b" two \\n ", b"\xff\xc3"):
        handle.stdin.write(word + b"\n")
        await handle.stdin.drain()
        assert await anext(lines) == b"got " + word + b"\n"
    handle.stdin.close()
    await handle.stdin.wait_closed()
    assert [line async for line in lines] == [b"ended\n"]
    assert await proc_wait(handle) == 0


async def a_process_without_stdin_finds_its_end_at_once(ground: Ground) -> None:
    """Unless it was asked for."""
    handle = await ground.machine.launch_subprocess("cat; echo end")
    assert await collect(handle.stdout) == b"end\n"
    assert await proc_wait(handle) == 0


async def a_process_that_stops_reading_is_a_broken_pipe_and_not_a_hang(ground: Ground) -> None:
    """Whoever writes on learns of it."""
    handle = await ground.machine.launch_subprocess("exec <&-; echo closed", stdin=True)
    assert handle.stdin is not None
    assert await anext(aiter(handle.stdout)) == b"closed\n"
    assert await proc_wait(handle) == 0
    with anyio.fail_after(15):
        try:
            while True:
                handle.stdin.write(bytes(100_000))
                await handle.stdin.drain()
        except BrokenPipeError:
            pass
    handle.stdin.close()


async def the_exit_code_of_a_process_can_be_asked_for_again(ground: Ground) -> None:
    """Negative for a signal; 143 and 255 are exit codes like others."""
    for command, code in (("exit 3", 3), ("exit 143", 143), ("exit 255", 255), ("kill -KILL $$", -9)):
        handle = await ground.machine.launch_subprocess(command)
        assert await collect(handle.stdout) == b""
        assert [await proc_wait(handle), await proc_wait(handle)] == [code, code], command


async def a_process_has_ended_although_a_child_holds_its_streams(ground: Ground) -> None:
    """And ending it afterwards still ends the child."""
    handle = await ground.machine.launch_subprocess("sleep 300 & echo $!; exit 5")
    pid = int(await anext(aiter(handle.stdout)))
    with anyio.fail_after(15):
        assert await proc_wait(handle) == 5
    assert await ground.alive(pid) == [pid]
    await ground.machine.terminate_subprocess(handle, aggressive=True)
    await nothing_lives(ground, [pid])


async def a_process_starts_in_the_workdir_unless_told_otherwise(ground: Ground) -> None:
    """A relative directory is below the workdir."""
    host = ground.machine
    await ground.far.mkdir(ground.path("sub"))
    for cwd, expected in ((None, host.workdir), ("sub", f"{host.workdir}/sub"), ("/", "/")):
        handle = await host.launch_subprocess("pwd", cwd=cwd)
        assert (await collect(handle.stdout)).decode() == f"{expected}\n"
        await proc_wait(handle)


async def inherited_names_are_dropped_by_pattern_and_additions_win(ground: Ground) -> None:
    """Patterns are those of a shell; a name that is both dropped and added is added; the rest stays."""
    handle = await ground.machine.launch_subprocess(
        'printf "%s\\n" "${HOME-none}" "${PATH:+some}" "$GIVEN"',
        env={"GIVEN": "a 'b' $c"},
        env_remove=["HOM?", "GIV*", "[A-Z]UMMY"],
    )
    assert await collect(handle.stdout) == b"none\nsome\na 'b' $c\n"
    assert await proc_wait(handle) == 0


async def the_environment_of_a_process_is_in_no_process_list(ground: Ground) -> None:
    """Neither while it runs nor in the arguments of whoever started it."""
    handle = await ground.machine.launch_subprocess(
        'printf "%s\\n" "$SECRET"; exec sleep 300', env={"SECRET": SECRET}, env_remove=["HOME"]
    )
    assert await anext(aiter(handle.stdout)) == f"{SECRET}\n".encode()
    await secret_is_in_no_process_list(ground)
    await ground.machine.terminate_subprocess(handle, aggressive=True)


async def a_process_is_asked_to_end_before_it_is_killed(ground: Ground) -> None:
    """Not aggressive: TERM to all of them, and time to tidy up."""
    handle = await ground.machine.launch_subprocess("trap 'echo tidy; exit 6' TERM; sleep 300 & echo ready; wait")
    lines = aiter(handle.stdout)
    assert await anext(lines) == b"ready\n"
    await ground.machine.terminate_subprocess(handle, aggressive=False)
    assert await proc_wait(handle) == 6
    assert await anext(lines) == b"tidy\n"


async def an_aggressive_end_leaves_no_time(ground: Ground) -> None:
    """KILL at once, and no TERM."""
    handle = await ground.machine.launch_subprocess("trap 'echo tidy; exit 6' TERM; echo ready; sleep 300 & wait")
    lines = aiter(handle.stdout)
    assert await anext(lines) == b"ready\n"
    await ground.machine.terminate_subprocess(handle, aggressive=True)
    assert await proc_wait(handle) == -9
    assert [line async for line in lines] == []


async def nothing_survives_an_end(ground: Ground) -> None:
    """Not aggressive: what ignores TERM is killed after 5 s, also in other sessions and without a parent."""
    handle = await ground.machine.launch_subprocess(f"{STUBBORN}\nwait; sleep 300")
    pids = await _stubborn_pids(handle)
    assert await ground.alive(*pids) == pids
    await ground.machine.terminate_subprocess(handle, aggressive=False)
    await nothing_lives(ground, pids)
    assert await proc_wait(handle) == -9


async def nothing_survives_an_aggressive_end(ground: Ground) -> None:
    """Likewise at once; and ending it again is fine."""
    handle = await ground.machine.launch_subprocess(f"{STUBBORN}\nwait; sleep 300", stdin=True, merge_stderr=False)
    pids = await _stubborn_pids(handle)
    for _ in range(2):
        await ground.machine.terminate_subprocess(handle, aggressive=True)
        await nothing_lives(ground, pids)
    assert await proc_wait(handle) == -9


async def a_wait_that_is_cancelled_leaves_the_process_alone(ground: Ground) -> None:
    """Only `terminate_subprocess` ends it."""
    handle = await ground.machine.launch_subprocess("echo $$; read -r line; exit 3", stdin=True)
    pid = int(await anext(aiter(handle.stdout)))
    with anyio.move_on_after(0.05) as waited:
        await proc_wait(handle)
    assert waited.cancelled_caught
    assert await ground.alive(pid) == [pid]
    assert handle.stdin is not None
    handle.stdin.close()
    assert await proc_wait(handle) == 3


PROMISES = (
    a_process_gives_lines_of_bytes_with_their_ends,
    a_line_is_never_cut_however_long,
    streams_are_merged_unless_asked_apart,
    a_process_is_talked_to_line_by_line,
    a_process_without_stdin_finds_its_end_at_once,
    a_process_that_stops_reading_is_a_broken_pipe_and_not_a_hang,
    the_exit_code_of_a_process_can_be_asked_for_again,
    a_process_has_ended_although_a_child_holds_its_streams,
    a_process_starts_in_the_workdir_unless_told_otherwise,
    inherited_names_are_dropped_by_pattern_and_additions_win,
    the_environment_of_a_process_is_in_no_process_list,
    a_process_is_asked_to_end_before_it_is_killed,
    an_aggressive_end_leaves_no_time,
    nothing_survives_an_end,
    nothing_survives_an_aggressive_end,
    a_wait_that_is_cancelled_leaves_the_process_alone,
)
