"""What becomes of a session whose directory, host or store is damaged: nothing is lost, and nothing run twice."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from session_rig import AT_ONCE, Driving, SessionRig, hand_over, program_pid, say, session_rig, supervisor_pid, taskdir

from host.job_rig import alive, of_runs, until
from optio_agents import drive, patience
from optio_agents import session as session_module
from optio_agents.cli.drive import drive_session
from optio_agents.driver_identity import is_proved_dead, this_driver
from optio_agents.errors import LeaseHeld, LeaseLost, SessionRefused, StoreAway, StoreBusy, StoreFull
from optio_agents.events import DriverChanged, Notice, Record, Status
from optio_agents.hooks import SessionHookContext
from optio_agents.journal import Deliverable, OutcomeDocument, Snapshot
from optio_agents.journal.lease import LEASE_TTL, RENEW_EVERY, Lease
from optio_agents.journal.sqlite.store import open_sqlite
from optio_agents.outgoing import RETRY_EVERY
from optio_agents.protocol.sender import SEND_LIMIT
from optio_agents.session import Session
from optio_agents.stall import LOOK_EVERY as STALL_LOOK_EVERY
from optio_host.errors import AuthenticationRefused, HostError
from optio_host.host import RunResult
from optio_host.job import LOOK_EVERY
from optio_host.job_errors import JobGone, NotOwner, StartFailed
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]

# A program with a child in a session of its own: nothing but the index and its tag lead to it.
SPREAD = ("sh", "-c", "setsid sleep 301 & exec sleep 300")


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionRig]:
    with session_rig(tmp_path, monkeypatch) as rig:
        yield rig


async def until_skipping(rig: SessionRig, condition: Callable[[], bool]) -> None:
    """Return when something is true, which takes some tries."""

    def tried() -> bool:
        rig.clock.skip(patience.RETRY_EVERY)
        return condition()

    await until(tried, "it was tried again")


async def outcome_in(rig: SessionRig, session: Session) -> OutcomeDocument:
    record = (await rig.store.snapshot(session.id)).record
    assert (record.state, (await rig.types(session.id))[-1]) == ("ended", "session.ended")
    assert (await rig.types(session.id)).count("session.ended") == 1
    assert record.outcome is not None
    return record.outcome


def notices(records: Sequence[Record]) -> str:
    return "\n".join(each.event.message for each in records if isinstance(each.event, Notice))


def statuses(records: Sequence[Record]) -> list[str]:
    return [each.event.message for each in records if isinstance(each.event, Status)]


# The directory


def test_a_session_whose_directory_is_removed_while_it_is_driven_ends_as_lost_and_leaves_no_process(
    run: Run, rig: SessionRig
) -> None:
    async def body() -> None:
        session = await rig.start(*SPREAD)
        async with rig.driven(session) as driving:
            say(session, "STATUS: working")
            await rig.until_event(session.id, "status")
            shutil.rmtree(taskdir(session))
            rig.clock.skip(LOOK_EVERY)
            outcome = await driving.ended()
        assert (outcome.outcome, outcome.reason) == ("lost", "the run directory was removed")
        assert not of_runs(rig.base)

    run(body)


def test_a_session_whose_directory_was_removed_without_a_driver_is_found_by_the_index_and_ended(
    run: Run, rig: SessionRig
) -> None:
    async def body() -> None:
        other = await rig.start()
        session = await rig.start(*SPREAD)
        await rig.store.release(session.lease)
        shutil.rmtree(taskdir(session))
        with pytest.raises(JobGone, match="directory is gone"):
            await rig.adopt(session.id)
        outcome = await outcome_in(rig, session)
        assert outcome.outcome == "lost"
        assert "directory is gone" in outcome.reason
        assert "it still ran; stopped: " in notices(await rig.history(session.id))
        assert (await rig.store.snapshot(session.id)).lease.driver is None
        assert len(of_runs(rig.base)) == len(set(of_runs(rig.base)) - {program_pid(other)}) + 1  # only the other's
        with pytest.raises(SessionRefused, match="has ended"):
            await rig.adopt(session.id)
        await rig.store.release(other.lease)
        await rig.stop(other.id)

    run(body)


def test_a_session_that_was_done_stays_done_when_its_directory_is_removed_before_its_end(
    run: Run, rig: SessionRig
) -> None:
    async def body() -> None:
        session = await rig.start(limits=AT_ONCE.model_copy(update={"grace": 100}))
        async with rig.driven(session):
            say(session, "DONE: all of it")
            await rig.until_event(session.id, "done")
        shutil.rmtree(taskdir(session))
        with pytest.raises(JobGone):
            await rig.adopt(session.id)
        outcome = await outcome_in(rig, session)
        assert (outcome.outcome, outcome.summary) == ("done", "all of it")

    run(body)


EDITS = {
    "no pid file": lambda run: (run / "pid").unlink(),
    "a pid file that says nothing": lambda run: (run / "pid").write_text("what?\n"),
    "no supervisor file": lambda run: (run / "supervisor").unlink(),
    "an exit file while it runs": lambda run: (run / "exit").write_text("exited 0\nreason none\nend\n"),
    "an exit file that says nothing": lambda run: (run / "exit").write_text("\0\0\0"),
    "no settings": lambda run: (run / "settings").unlink(),
    "no stdin": lambda run: (run / "stdin").unlink(),
    "no optio.log": lambda run: (run.parent.parent / "optio.log").unlink(),
}


@pytest.mark.parametrize("case", EDITS)
@pytest.mark.parametrize("driven", [True, False])
def test_a_directory_that_was_edited_by_hand_ends_nothing_early_and_starts_nothing_again(
    run: Run, rig: SessionRig, case: str, driven: bool
) -> None:
    async def body() -> None:
        session = await rig.start(*SPREAD)
        pid = program_pid(session)
        if not driven:
            await rig.store.release(session.lease)
            EDITS[case](Path(session.record.rundir))
            session = await rig.adopt(session.id)
        async with rig.driven(session) as driving:
            if driven:
                say(session, "STATUS: one")
                await rig.until_event(session.id, "status")
                EDITS[case](Path(session.record.rundir))
            rig.clock.skip(LOOK_EVERY)
            await rig.renewed()
            assert alive(pid)
            assert not driving.over.is_set()
            say(session, "STATUS: two", "DONE")
            await until_over(rig, driving)
            assert driving.outcome is not None, driving.error
            assert driving.outcome.outcome == "done"
        assert (await rig.types(session.id)).count("session.started") == 1
        assert not of_runs(rig.base)

    run(body)


async def until_over(rig: SessionRig, driving: Driving) -> None:
    """Let time pass until it is: what looks now and then is to look at once."""
    with anyio.fail_after(30):
        while not driving.over.is_set():
            rig.clock.skip(0.5)
            with anyio.move_on_after(0.02):
                await driving.over.wait()


@pytest.mark.parametrize("owner", ["", "somebody else's line\n", "other-store other-session 1\n"])
def test_a_driver_whose_owner_file_was_edited_acts_no_more_and_the_next_one_takes_over(
    run: Run, rig: SessionRig, owner: str
) -> None:
    async def body() -> None:
        session = await rig.start()
        pid = program_pid(session)
        async with rig.driven(session) as driving:
            say(session, "STATUS: one")
            await rig.until_event(session.id, "status")
            Path(session.record.rundir, "owner").write_text(owner)
            rig.clock.skip(RENEW_EVERY)
            assert isinstance(await driving.failed(), LeaseLost | NotOwner)
        assert alive(pid)
        async with rig.driven(await rig.adopt(session.id)) as driving:
            say(session, "STATUS: two", "DONE")
            assert (await driving.ended()).outcome == "done"
        assert (await rig.types(session.id)).count("status") == 2

    run(body)


def test_an_owner_file_of_a_later_generation_is_an_error_that_names_it_and_the_lease_is_free_again(
    run: Run, rig: SessionRig
) -> None:
    async def body() -> None:
        session = await rig.start()
        await rig.store.release(session.lease)
        owner = Path(session.record.rundir, "owner")
        owner.write_text("other-store other-session 3\n")
        for _ in range(2):
            with pytest.raises(NotOwner, match="belongs to other-store other-session 3"):
                await rig.adopt(session.id)
            assert (await rig.store.snapshot(session.id)).lease.driver is None
        assert alive(program_pid(session))
        await rig.stop(session.id)

    run(body)


def test_a_log_that_is_truncated_or_replaced_is_read_on_with_a_note_and_no_line_twice(
    run: Run, rig: SessionRig
) -> None:
    async def body() -> None:
        session = await rig.start()
        log = taskdir(session) / "optio.log"
        async with rig.driven(session):
            say(session, "STATUS: one", "STATUS: two")
            await rig.until_event(session.id, "status", 2)
            os.truncate(log, 0)
            await rig.until_event(session.id, "log.reset")
            say(session, "STATUS: three")
            await rig.until_event(session.id, "status", 3)
        new = log.with_name("new.log")
        new.write_text("STATUS: four\n")
        new.rename(log)
        async with rig.driven(await rig.adopt(session.id)) as driving:
            await rig.until_event(session.id, "status", 4)
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        said = statuses(await rig.history(session.id))
        assert said == ["one", "two", "three", "four"]
        assert (await rig.types(session.id)).count("log.reset") == 2

    run(body)


def test_replies_that_were_edited_are_left_alone_with_a_notice_and_the_session_goes_on(
    run: Run, rig: SessionRig
) -> None:
    async def body() -> None:
        session = await rig.start()
        replies = taskdir(session) / "replies"
        async with rig.driven(session) as driving:
            replies.write_text("System: something else\n")
            hand_over(session, "one", "1")
            await rig.until_event(session.id, "notice")
            hand_over(session, "two", "2")
            await rig.until_event(session.id, "deliverable", 2)
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        assert replies.read_text() == "System: something else\n"
        assert "replies" in notices(await rig.history(session.id))
        assert sorted(path.name for path in rig.out.iterdir()) == ["one", "two"]

    run(body)


# The machine


def end_all(session: Session) -> None:
    """What a machine does that is restarted."""
    pids = [supervisor_pid(session), program_pid(session)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def all_gone(rig: SessionRig) -> None:
    await until(lambda: not of_runs(rig.base), "the end of all processes")


def rewrite(path: Path, place: int, word: str) -> None:
    words = path.read_text().split()
    words[place] = word
    path.write_text(" ".join(words) + "\n")


def test_after_a_reboot_the_next_driver_takes_over_at_once_reads_what_was_said_and_names_the_reboot(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = this_driver().model_copy(update={"boot_id": "the boot before"})
    assert is_proved_dead(before)

    async def body() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(session_module, "this_driver", lambda: before)
            session = await rig.start()
        say(session, "STATUS: nobody has read this yet")
        end_all(session)
        await all_gone(rig)
        for name, place in (("pid", 3), ("supervisor", 2)):
            rewrite(Path(session.record.rundir, name), place, "the-boot-before")
        async with rig.driven(await rig.adopt(session.id)) as driving:
            outcome = await driving.ended()
        assert (outcome.outcome, outcome.reason) == ("lost", "the machine was restarted while the program ran")
        assert outcome.exit is None
        history = await rig.history(session.id)
        assert [each.event.reason for each in history if isinstance(each.event, DriverChanged)] == ["died"]
        assert "status" in await rig.types(session.id)

    run(body)


def test_after_a_reboot_a_session_that_had_said_done_is_done(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start()
        await rig.store.release(session.lease)
        say(session, "DONE: in time")
        end_all(session)
        await all_gone(rig)
        rewrite(Path(session.record.rundir, "pid"), 3, "the-boot-before")
        async with rig.driven(await rig.adopt(session.id)) as driving:
            outcome = await driving.ended()
        assert (outcome.outcome, outcome.summary) == ("done", "in time")

    run(body)


def test_a_process_that_got_the_pid_of_the_program_is_not_taken_for_it_and_not_hit(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start()
        await rig.store.release(session.lease)
        end_all(session)
        await all_gone(rig)
        async with await anyio.open_process(["sleep", "302"], start_new_session=True) as innocent:
            for name in ("pid", "supervisor"):
                rewrite(Path(session.record.rundir, name), 0, str(innocent.pid))
            rewrite(Path(session.record.rundir, "pid"), 1, str(innocent.pid))  # its group, too
            async with rig.driven(await rig.adopt(session.id)) as driving:
                outcome = await driving.ended()
            assert outcome.outcome == "lost"
            assert "belongs to another process" in outcome.reason
            assert alive(innocent.pid)
            innocent.kill()

    run(body)


def test_a_process_that_got_the_pid_of_a_driver_is_not_taken_for_it() -> None:
    me = this_driver()
    assert not is_proved_dead(me)
    assert is_proved_dead(me.model_copy(update={"start_time": "1"}))
    assert not is_proved_dead(me.model_copy(update={"start_time": "1", "hostname": "another machine"}))


def test_of_two_drivers_that_adopt_at_once_one_wins_and_the_other_is_told(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_driver = this_driver()
    monkeypatch.setattr(session_module, "is_proved_dead", lambda driver: driver == first_driver)

    async def body() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(session_module, "this_driver", lambda: first_driver)
            session = await rig.start()
        won: list[Session] = []
        refused: list[LeaseHeld] = []

        async def adopt() -> None:
            try:
                won.append(await rig.adopt(session.id))
            except LeaseHeld as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(adopt)
        assert (len(won), len(refused)) == (1, 4)
        assert "is driven by pid" in str(refused[0])
        async with rig.driven(won[0]) as driving:
            say(session, "STATUS: one", "DONE")
            assert (await driving.ended()).outcome == "done"
        types = await rig.types(session.id)
        assert (types.count("driver.changed"), types.count("status")) == (1, 1)

    run(body)


def test_an_adoption_that_is_overtaken_is_told_that_somebody_else_has_it(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        reached, go_on = anyio.Event(), anyio.Event()
        slow = LocalHost(str(rig.base))
        at_once = slow.run_command

        async def run_command(command: str, **options: Any) -> RunResult:
            reached.set()
            await go_on.wait()
            return await at_once(command, **options)

        monkeypatch.setattr(slow, "run_command", run_command)
        session = await rig.start()
        await rig.store.release(session.lease)
        refused: list[LeaseHeld] = []

        async def adopt_slowly() -> None:
            with pytest.raises(LeaseHeld) as caught:
                await Session.adopt(slow, rig.store, session.id, clock=rig.clock)
            refused.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(adopt_slowly)
            await reached.wait()
            rig.clock.skip(LEASE_TTL)
            adopted = await rig.adopt(session.id)
            go_on.set()
        assert len(refused) == 1
        async with rig.driven(adopted) as driving:
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"

    run(body)


# Hosts that do not answer


def test_looks_that_a_host_does_not_answer_end_nothing(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0

    async def no_answer(*_: object) -> dict[str, str]:
        nonlocal refused
        refused += 1
        raise HostError("the command on the host was stopped after 30 s")

    monkeypatch.setattr(drive, "look_for_signs", no_answer)

    async def body() -> None:
        session = await rig.start()
        async with rig.driven(session) as driving:
            for count in (1, 2):
                await until(lambda count=count: refused >= count, "a look")  # type: ignore[misc]
                rig.clock.skip(STALL_LOOK_EVERY)
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"

    run(body)


def test_a_machine_that_cannot_start_a_process_for_a_while_ends_nothing(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        session = await rig.start()
        refused = 0

        async def full(*_: object, **__: object) -> RunResult:
            nonlocal refused
            refused += 1
            raise BlockingIOError(11, "Resource temporarily unavailable")

        async with rig.driven(session) as driving:
            await rig.looked()
            with monkeypatch.context() as patch:
                patch.setattr(rig.host, "run_command", full)
                for count in (3, 6):
                    rig.clock.skip(STALL_LOOK_EVERY)
                    await until(lambda count=count: refused >= count, "it was tried")  # type: ignore[misc]
            rig.clock.skip(RENEW_EVERY)
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"

    run(body)


def test_a_deliverable_whose_host_refuses_the_login_is_taken_by_the_next_driver(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> AsyncGenerator[bytes]:
        raise AuthenticationRefused("me@build-7:22", "it accepted none of the keys")
        yield b""

    async def body() -> None:
        session = await rig.start()
        with monkeypatch.context() as patch:
            patch.setattr(rig.host, "stream_file", lambda *_, **__: refuse())
            async with rig.driven(session) as driving:
                hand_over(session, "one", "1")
                assert isinstance(await driving.failed(), AuthenticationRefused)
        async with rig.driven(await rig.adopt(session.id)) as driving:
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        assert (rig.out / "one").read_text() == "1"
        assert (await rig.types(session.id)).count("deliverable") == 1

    run(body)


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of 4 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", path], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left; remove what is returned to give it back."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
    return filler


def test_a_session_on_a_full_disk_goes_on_and_what_could_not_be_written_comes_once_there_is_room(
    run: Run, rig: SessionRig, small_disk: Path
) -> None:
    async def body() -> None:
        session = await rig.start(state_dir=str(small_disk / "sessions"))
        async with rig.driven(session) as driving:
            hand_over(session, "one", "1")
            filler = fill(small_disk)
            await rig.until_event(session.id, "deliverable")
            await rig.until_event(session.id, "notice")
            assert "is tried again" in notices(await rig.history(session.id))
            filler.unlink()
            rig.clock.skip(RETRY_EVERY)
            replies = taskdir(session) / "replies"
            await until(lambda: replies.read_text().count("\n") == 1, "the reply arrives")
            fill(small_disk)
            os.kill(program_pid(session), signal.SIGTERM)
            outcome = await driving.ended()
        assert (outcome.outcome, outcome.exit) == ("failed", -15)
        assert replies.read_text().startswith("System: deliverable one: accepted")
        assert (rig.out / "one").read_text() == "1"

    run(body)


def test_a_start_on_a_full_disk_says_so_and_starts_nothing(run: Run, rig: SessionRig, small_disk: Path) -> None:
    async def body() -> None:
        (small_disk / "sessions").mkdir()
        fill(small_disk)
        with pytest.raises(HostError, match=r"No space left|is the disk full"):
            await rig.start(state_dir=str(small_disk / "sessions"))
        assert [each for each in await rig.store.sessions() if each.state != "ended"] == []
        assert not of_runs(rig.base)

    run(body)


def test_a_journal_on_a_full_disk_is_an_error_that_says_so_and_the_session_goes_on_once_there_is_room(
    run: Run, rig: SessionRig, small_disk: Path
) -> None:
    async def body() -> None:
        database = small_disk / "journal.db"
        async with open_sqlite(database) as rig.store:
            session = await rig.start()
            async with rig.driven(session) as driving:
                say(session, "STATUS: number 1")
                await rig.until_event(session.id, "status")
                filler = fill(small_disk)
                say(session, *(f"STATUS: number {number} {'x' * 10_000}" for number in range(2, 60)))
                assert isinstance(await driving.failed(), StoreFull)
            assert alive(program_pid(session))
            filler.unlink()
        async with open_sqlite(database, clock=rig.clock) as rig.store:
            rig.clock.skip(LEASE_TTL)  # the lease could not be given back: there was no room to note that
            async with rig.driven(await rig.adopt(session.id)) as driving:
                say(session, "DONE")
                assert (await driving.ended()).outcome == "done"
            said = statuses(await rig.history(session.id))
            assert [text.split()[1] for text in said] == [str(number) for number in range(1, 60)]

    run(body)


# Stores


def test_a_store_that_takes_nothing_more_ends_the_driving_with_its_error_and_nothing_else(
    run: Run, rig: SessionRig
) -> None:
    async def body() -> None:
        error = StoreFull("no room left")
        session = await rig.start()
        async with rig.driven(session) as driving:
            say(session, "STATUS: one")
            await rig.until_event(session.id, "status")
            rig.memory.broken = {"commit": error, "renew": error, "release": error}
            hand_over(session, "two", "2")
            assert await driving.failed() is error
        assert alive(program_pid(session))
        rig.memory.broken = {}
        with pytest.raises(LeaseHeld):
            await rig.adopt(session.id)
        rig.clock.skip(LEASE_TTL)
        async with rig.driven(await rig.adopt(session.id)) as driving:
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        types = await rig.types(session.id)
        assert (types.count("status"), types.count("deliverable"), types.count("session.started")) == (1, 1, 1)
        assert (taskdir(session) / "replies").read_text().count("\n") <= 1
        assert [path.name for path in rig.out.iterdir()] == ["two"]

    run(body)


def test_a_store_that_is_busy_for_less_than_the_lease_goes_unnoticed(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start()
        async with rig.driven(session) as driving:
            await rig.looked()
            rig.memory.broken = {"renew": StoreBusy("held by others")}
            for _ in range(2):
                rig.clock.skip(RENEW_EVERY)
                await rig.renewed()
            rig.memory.broken = {}
            rig.clock.skip(RENEW_EVERY)
            await rig.renewed()
            rig.clock.skip(LEASE_TTL - RENEW_EVERY)
            with pytest.raises(LeaseHeld):
                await rig.adopt(session.id)
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"

    run(body)


def test_a_store_that_is_busy_for_longer_than_the_lease_is_waited_for(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start()
        async with rig.driven(session) as driving:
            await rig.looked()
            rig.memory.broken = {"commit": StoreBusy("held by others"), "renew": StoreBusy("held by others")}
            say(session, "STATUS: one")
            for _ in range(2):
                rig.clock.skip(LEASE_TTL)
                await rig.renewed()
            rig.memory.broken = {}
            rig.clock.skip(RENEW_EVERY)
            await rig.renewed()
            with pytest.raises(LeaseHeld):
                await rig.adopt(session.id)
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        assert (await rig.types(session.id)).count("status") == 1

    run(body)


def test_a_hook_whose_work_could_not_be_noted_down_is_told_so_by_the_next_driver(run: Run, rig: SessionRig) -> None:
    told: list[bool] = []

    def hook(hook_ctx: SessionHookContext, _: Deliverable) -> None:
        told.append(hook_ctx.redelivered)
        if len(told) == 1:
            rig.memory.broken = {"commit": StoreFull("no room left")}

    async def body() -> None:
        session = await rig.start(on_deliverable=hook)
        async with rig.driven(session) as driving:
            hand_over(session, "one", "1")
            assert isinstance(await driving.failed(), StoreFull)
        rig.memory.broken = {}
        rig.clock.skip(LEASE_TTL)
        async with rig.driven(await rig.adopt(session.id, on_deliverable=hook)) as driving:
            hand_over(session, "two", "2")
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        assert told == [False, True, False]

    run(body)


def test_what_a_hook_says_while_the_store_is_away_for_long_comes_once_it_is_back(run: Run, rig: SessionRig) -> None:
    handed_over: list[bool] = []

    async def hook(hook_ctx: SessionHookContext, _: Deliverable) -> None:
        rig.memory.broken = {"commit": StoreAway("gone")}
        async with anyio.create_task_group() as tasks:

            async def later() -> None:
                await anyio.wait_all_tasks_blocked()
                rig.clock.skip(SEND_LIMIT)

            tasks.start_soon(later)
            handed_over.append(await hook_ctx.send_to_agent("one moment"))
        rig.memory.broken = {}

    async def body() -> None:
        session = await rig.start(on_deliverable=hook)
        async with rig.driven(session) as driving:
            hand_over(session, "one", "1")
            await until(lambda: bool(handed_over), "the hook")
            await until_skipping(rig, lambda: (taskdir(session) / "replies").read_text().count("\n") == 2)
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        assert handed_over == [False]
        first, second = (taskdir(session) / "replies").read_text().splitlines()
        assert (first, second.startswith("System: deliverable one: accepted")) == ("System: one moment", True)

    run(body)


def test_a_start_whose_store_goes_away_once_the_program_runs_waits_for_it(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        answered = rig.memory.snapshot
        calls = 0

        async def snapshot(session: str) -> Snapshot:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise StoreAway("gone")
            return await answered(session)

        monkeypatch.setattr(rig.memory, "snapshot", snapshot)
        session = await rig.start()
        async with rig.driven(session) as driving:
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"

    run(body)


def test_a_driver_in_the_background_waits_for_a_store_that_others_hold_for_long(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("optio_agents.cli.drive.PATIENCE", 0.2)
    monkeypatch.setattr("optio_agents.cli.driving.TRY_AGAIN", 0.05)
    acquire = rig.memory.acquire
    tries = 0

    async def held(*arguments: Any, **named: Any) -> Lease:
        nonlocal tries
        tries += 1
        if tries <= 10:
            raise StoreBusy("held by others")
        return await acquire(*arguments, **named)

    monkeypatch.setattr(rig.memory, "acquire", held)

    async def body() -> None:
        session = await rig.start()
        await rig.store.release(session.lease)
        say(session, "DONE")
        await drive_session(rig.store, session.id)
        assert (await outcome_in(rig, session)).outcome == "done"
        assert capsys.readouterr().err.count("its journal cannot be reached; trying on: held by others") == 1

    run(body)


def test_an_end_that_is_in_the_journal_stands_although_the_lease_cannot_be_given_back(
    run: Run, rig: SessionRig
) -> None:
    async def body() -> None:
        session = await rig.start()
        async with rig.driven(session) as driving:
            rig.memory.broken = {"release": StoreBusy("held by others")}
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        assert (await outcome_in(rig, session)).outcome == "done"

    run(body)


def test_a_start_that_the_host_refuses_leaves_an_ended_session_with_the_reason(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        with pytest.raises(StartFailed, match="is not there"):
            await rig.start(cwd="/nonexistent")
        (record,) = await rig.store.sessions()
        assert record.outcome is not None
        assert "could not be started" in record.outcome.reason
        assert (record.state, record.driver) == ("ended", None)

    run(body)
