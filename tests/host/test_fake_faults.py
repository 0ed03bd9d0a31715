"""Faults of the fake host: each has the effect that it has on a machine over SSH, at the moment that was said."""

import random
from collections.abc import Awaitable, Callable

import anyio
import pytest

from optio_host.errors import ConnectFailed, FileRefused, LinkLost, TransferFailed
from optio_host.host import FileReset, Followed, ReportsLink, proc_wait
from optio_host.lines import Line
from optio_host.outcome import Lost
from optio_host.testing.fake import (
    Append,
    AtByte,
    AtCall,
    AtRandom,
    AtTime,
    ClockJump,
    Drop,
    Effect,
    FakeHost,
    Fault,
    HalfOpen,
    Hang,
    NoPermission,
    NoSpace,
    Reboot,
    Replaced,
    ScriptFailed,
    Slow,
    Stdout,
    Truncated,
    Wait,
    When,
)

Run = Callable[[Callable[[], Awaitable[object]]], None]

LOG = "/srv/task/workdir/log"


def broken_by(effect: Effect, when: When, seed: int = 0) -> FakeHost:
    host = FakeHost(faults=[Fault(effect, when)], seed=seed)
    host.files.mkdir(host.workdir)
    return host


def test_a_command_whose_link_is_lost_is_lost_with_its_partial_output(run: Run) -> None:
    host = broken_by(Drop(), AtByte(7))
    host.on("agent", Stdout("12345"), Wait(10), Stdout("6789"), Append("log", "done\n"))
    host.on("true", stdout="again")

    async def body() -> None:
        done = await host.run_command("agent")
        assert isinstance(done.outcome, Lost)
        assert (done.exit_code, done.stdout) == (255, "1234567")
        assert (await host.run_command("true")).stdout == "again"
        # What runs on the machine does not depend on the link.
        assert host.files.text(LOG) == "done\n"

    run(body)
    assert host.connections == 2


def test_a_launched_program_whose_link_is_lost_may_still_run(run: Run) -> None:
    host = broken_by(Drop(), AtTime(5))
    host.on("agent", Stdout("one\n"), Wait(10), Append("log", "done\n"))

    async def body() -> None:
        handle = await host.launch_subprocess("agent")
        assert await anext(handle.stdout) == b"one\n"
        with pytest.raises(LinkLost):
            await anext(handle.stdout)
        with pytest.raises(LinkLost):
            await proc_wait(handle)
        await host.clock.sleep(5)
        assert host.files.text(LOG) == "done\n"

    run(body)


def test_a_copy_that_is_cut_leaves_the_old_file(run: Run) -> None:
    host = broken_by(Drop(), AtByte(100_000, "put_file_to_host"))
    host.files.write(f"{host.workdir}/other", "x" * 200_000)
    host.files.write(f"{host.workdir}/file", "old")
    told: list[float | None] = []

    async def body() -> None:
        # Other methods do not count.
        await host.fetch_bytes_from_host(f"{host.workdir}/other")
        with pytest.raises(LinkLost):
            await host.put_file_to_host(
                b"x" * 200_000, f"{host.workdir}/file", progress_cb=lambda percent, _: told.append(percent)
            )

    run(body)
    assert host.files.text(f"{host.workdir}/file") == "old"
    assert told[-1] == 50


def test_a_stream_that_is_cut_raises_behind_what_came(run: Run) -> None:
    host = broken_by(Drop(), AtByte(70_000))
    host.files.write(f"{host.workdir}/file", "x" * 200_000)
    came: list[int] = []

    async def read() -> None:
        async for chunk in host.stream_file(f"{host.workdir}/file"):
            came.append(len(chunk))

    async def body() -> None:
        with pytest.raises(LinkLost):
            await read()

    run(body)
    assert came == [65_536]


@pytest.mark.parametrize("answered", [False, True])
def test_a_lost_call_has_acted_or_has_not(run: Run, answered: bool) -> None:
    """The caller sees the same either way; that is what makes trying again a decision."""
    host = broken_by(Drop(), AtCall("remove_file", 2, answered=answered))
    for name in ("one", "two"):
        host.files.write(f"{host.workdir}/{name}", "")

    async def body() -> None:
        await host.remove_file(f"{host.workdir}/one")
        with pytest.raises(LinkLost, match="remove_file"):
            await host.remove_file(f"{host.workdir}/two")

    run(body)
    assert host.files.listing(host.workdir) == ([] if answered else ["two"])


def test_a_lost_command_has_run_or_has_not(run: Run) -> None:
    for answered in (False, True):
        host = broken_by(Drop(), AtCall("run_command", answered=answered))
        host.on("make", stdout="built", repeat=True)

        async def body(host: FakeHost = host, answered: bool = answered) -> None:
            done = await host.run_command("make")
            assert isinstance(done.outcome, Lost)
            assert (done.stdout, len(host.commands)) == (("built", 1) if answered else ("", 0))

        run(body)


def test_a_half_open_connection_says_nothing_until_it_is_noticed(run: Run) -> None:
    host = broken_by(HalfOpen(noticed_after=20), AtTime(1))
    host.on("agent", Stdout("before"), Wait(2), Stdout("after"))

    async def body() -> None:
        done = await host.run_command("agent")
        assert isinstance(done.outcome, Lost)
        assert done.stdout == "before"
        assert host.clock.monotonic() == 21
        await host.connect()

    run(body)


def test_a_command_on_a_half_open_connection_is_ended_over_a_new_one(run: Run) -> None:
    host = broken_by(HalfOpen(noticed_after=20), AtTime(1))
    host.on("agent", Hang())

    async def body() -> None:
        done = await host.run_command("agent", timeout=5)
        assert done.exit_code == 124
        assert host.clock.monotonic() == 21

    run(body)
    assert host.connections == 2


@pytest.mark.parametrize(("back_after", "reached"), [(29.0, True), (31.0, False), (None, False)])
def test_a_host_that_was_there_is_waited_for_but_not_for_ever(
    run: Run, back_after: float | None, reached: bool
) -> None:
    host = FakeHost()

    async def body() -> None:
        await host.connect()
        host.happen(Drop(back_after))
        if reached:
            await host.connect()
        else:
            with pytest.raises(ConnectFailed, match="user@fake: connecting"):
                await host.connect()
        assert host.clock.monotonic() == (29 if reached else 30)

    run(body)


def test_a_host_that_was_never_there_fails_at_once(run: Run) -> None:
    host = FakeHost()
    host.happen(Drop(None))

    async def body() -> None:
        with pytest.raises(ConnectFailed):
            await host.connect()
        assert host.clock.monotonic() == 0

    run(body)


def test_lines_that_came_before_a_cut_are_not_held_back_by_it(run: Run) -> None:
    host = broken_by(Drop(back_after=1000), AtByte(6))
    host.files.write(LOG, "one\ntwo\n")

    async def body() -> None:
        lines = host.follow(LOG)
        assert ((await anext(lines))[0], host.clock.monotonic()) == (Line(b"one", 4), 0)
        assert ((await anext(lines))[0], host.clock.monotonic()) == (Line(b"two", 8), 1000)
        await lines.aclose()

    run(body)


def test_a_follower_waits_for_a_host_that_is_away_for_long(run: Run) -> None:
    host = broken_by(Drop(back_after=1000), AtTime(5))
    host.on("agent", Append("log", "one\n"), Wait(10), Append("log", "two\n"))

    async def body() -> None:
        await host.launch_subprocess("agent")
        lines = host.follow(LOG)
        assert (await anext(lines))[0] == Line(b"one", 4)
        assert (await anext(lines))[0] == Line(b"two", 8)
        assert host.clock.monotonic() == 1005
        await lines.aclose()

    run(body)


def test_the_states_of_the_link_are_told(run: Run) -> None:
    host = FakeHost()
    told: list[str] = []
    stop = host.on_state(lambda state: told.append(state.state))

    async def body() -> None:
        await host.connect()
        host.happen(Drop(5))
        await host.connect()
        host.happen(Drop(None))
        with pytest.raises(ConnectFailed):
            await host.connect()
        stop()
        await host.disconnect()

    run(body)
    assert isinstance(host, ReportsLink)
    assert told == ["connecting", "connected", "lost", "reconnecting", "connected", "lost", "reconnecting", "failed"]


def test_a_slow_link_takes_its_time(run: Run) -> None:
    host = broken_by(Slow(1000), AtCall("put_file_to_host"))

    async def body() -> None:
        await host.put_file_to_host(bytes(5000), f"{host.workdir}/file")
        assert host.clock.monotonic() == 5
        host.happen(Slow(None))
        await host.put_file_to_host(bytes(5000), f"{host.workdir}/file")
        assert host.clock.monotonic() == 5

    run(body)


def test_a_restart_ends_every_program_and_keeps_the_files(run: Run) -> None:
    host = broken_by(Reboot(takes=25), AtTime(5))
    host.on("agent", Append("log", "begun\n"), Wait(10), Append("log", "done\n"))

    async def body() -> None:
        done = await host.run_command("agent")
        assert isinstance(done.outcome, Lost)
        assert await host.fetch_bytes_from_host(LOG) == b"begun\n"
        assert host.clock.monotonic() == 30
        await host.clock.sleep(100)
        assert host.files.text(LOG) == "begun\n"

    run(body)


def test_a_clock_that_jumps_moves_dates_and_no_deadline(run: Run) -> None:
    host = broken_by(ClockJump(-3600), AtTime(1))
    began = host.clock.time()

    async def body() -> None:
        await host.connect()
        await host.clock.sleep(2)
        await host.write_text("file", "")
        assert host.clock.time() == began + 2 - 3600
        assert host.files.node(f"{host.workdir}/file").mtime == began + 2 - 3600
        assert host.clock.monotonic() == 2

    run(body)


def test_a_full_disk_takes_no_copy_until_there_is_room(run: Run) -> None:
    host = broken_by(NoSpace(free=3), AtCall("put_file_to_host", 2))

    async def body() -> None:
        target = f"{host.workdir}/file"
        await host.put_file_to_host(b"12345", target)
        with pytest.raises(TransferFailed, match="No space left"):
            await host.put_file_to_host(b"123456789", target)
        assert host.files.read(target) == b"12345"
        host.happen(NoSpace(None))
        await host.put_file_to_host(b"123456789", target)

    run(body)


def test_what_is_not_permitted_is_refused(run: Run) -> None:
    host = FakeHost()
    host.files.write(f"{host.workdir}/secret/key", "key")
    host.files.symlink(f"{host.workdir}/link", "secret/key")
    host.happen(NoPermission(f"{host.workdir}/secret"))

    async def body() -> None:
        for path in (f"{host.workdir}/secret/key", f"{host.workdir}/link"):
            with pytest.raises(FileRefused, match="may not read"):
                await host.fetch_bytes_from_host(path)
        with pytest.raises(TransferFailed, match="Permission denied"):
            await host.put_file_to_host(b"", f"{host.workdir}/secret/new")
        with pytest.raises(PermissionError):
            await host.run_command("true", cwd="secret")

    run(body)


@pytest.mark.parametrize(
    ("effect", "reason", "then"),
    [
        (Truncated(LOG), "truncated", "new\n"),
        (Replaced(LOG, b"new\n"), "replaced", ""),
    ],
)
def test_a_log_that_is_cut_or_replaced_is_told_and_read_anew(run: Run, effect: Effect, reason: str, then: str) -> None:
    host = broken_by(effect, AtTime(1))
    host.on("agent", Append("log", "one\npart"), Wait(2), Append("log", then))

    async def body() -> None:
        await host.launch_subprocess("agent")
        found: list[Followed] = []
        lines = host.follow(LOG)
        async for each, _ in lines:
            found.append(each)
            if each == Line(b"new", 4):
                break
        await lines.aclose()
        assert found == [Line(b"one", 4), FileReset(reason, 4), Line(b"new", 4)]  # type: ignore[arg-type]

    run(body)


@pytest.mark.parametrize("effect", [Truncated("/missing"), Replaced("/missing/../..")])
def test_a_fault_that_cannot_happen_fails_the_test(run: Run, effect: Effect) -> None:
    host = broken_by(effect, AtTime(1))

    async def body() -> None:
        await host.connect()
        await host.clock.sleep(2)
        with pytest.raises(ScriptFailed, match="could not happen"):
            host.happen(effect)

    run(body)
    with pytest.raises(ScriptFailed, match=r"could not happen.*\n.*could not happen"):
        host.verify()


def test_cuts_in_a_followed_file_lose_and_double_nothing(run: Run) -> None:
    """At every byte of it, and of every length up to a minute; the cursors are those of an uncut reading."""
    text = "".join(f"line {number}\n" for number in range(20))
    cuts = [Fault(Drop(back_after=random.Random(7).random() * 29), AtByte(count)) for count in range(1, len(text), 3)]
    readings = []
    for faults in ([], cuts):
        host = FakeHost(faults=faults)
        host.files.mkdir(host.workdir)
        host.on("agent", *(each for line in text.splitlines(True) for each in (Append("log", line), Wait(1))))

        async def body(host: FakeHost = host) -> None:
            launched = await host.launch_subprocess("agent")
            ended = anyio.Event()

            async def end() -> None:
                try:
                    await proc_wait(launched)
                except LinkLost:
                    await host.clock.sleep(3600)
                ended.set()

            async with anyio.create_task_group() as group:
                group.start_soon(end)
                readings.append([each async for each in host.follow(LOG, until=ended)])

        run(body)
        assert host.connections == 1 + len(faults)
    assert readings[0] == readings[1]
    assert b"".join(line.data + b"\n" for line, _ in readings[1] if isinstance(line, Line)) == text.encode()


def test_the_same_seed_has_the_same_history(run: Run) -> None:
    def history(seed: int) -> list[tuple[float, str]]:
        host = broken_by(Drop(back_after=3), AtRandom(0.2, "run_command"), seed)
        host.on("make", Wait(1), repeat=True)

        async def body() -> None:
            for _ in range(40):
                await host.run_command("make")

        run(body)
        return [(call.at, call.what) for call in host.history]

    assert history(1) == history(1)
    assert history(1) != history(2)
    assert 2 < sum(what == "fault" for _, what in history(1)) < 20
