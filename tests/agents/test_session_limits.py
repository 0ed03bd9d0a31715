"""What stops a session by itself, with what reason; what never does; and what of it is told to whom."""

import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from session_rig import SessionRig, hand_over, program_pid, say, session_rig, taskdir

from host.job_rig import alive
from optio_agents import drive, notify, stall
from optio_agents.errors import CallbackMissing, LeaseHeld, LeaseLost
from optio_agents.events import Stalled
from optio_agents.hooks import SessionHookContext
from optio_agents.journal import Deliverable, Limits
from optio_agents.journal.export import export_lines
from optio_agents.journal.lease import LEASE_TTL, RENEW_EVERY
from optio_agents.journal.sqlite.store import open_sqlite
from optio_agents.redaction import Redactor, redacted_json
from optio_host.errors import HostError
from optio_host.host import OUTPUT_LIMIT, RunResult
from optio_host.job import Limits as JobLimits
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]

YEAR = 365 * 86400.0


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionRig]:
    with session_rig(tmp_path, monkeypatch) as rig:
        yield rig


# Limits


def test_a_session_is_stopped_at_its_time_limit_and_says_so(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start(limits=Limits(wall=3600, grace=0))
        async with rig.driven(session) as driving:
            await rig.looked()
            rig.clock.skip(3500)
            say(session, "STATUS: still here")
            await rig.until_event(session.id, "status")
            rig.clock.skip(100)
            outcome = await driving.ended()
        assert (outcome.outcome, outcome.reason) == ("failed", "stopped after 3600 s, its time limit")
        assert "stop" in await rig.types(session.id)

    run(body)


def test_the_time_limit_counts_from_the_start_of_the_session_not_from_an_adoption(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start(limits=Limits(wall=3600, grace=0))
        await rig.store.release(session.lease)
        rig.clock.skip(3600)
        adopted = await rig.adopt(session.id)
        async with rig.driven(adopted) as driving:
            assert "its time limit" in (await driving.ended()).reason

    run(body)


def test_a_session_without_a_sign_of_life_is_stopped_at_its_idle_limit(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start(limits=Limits(idle=300, grace=0))
        async with rig.driven(session) as driving:
            await rig.looked()
            rig.clock.skip(200)
            await rig.looked()
            say(session, "STATUS: a sign")
            rig.clock.skip(200)
            await rig.looked()  # it sees the sign
            rig.clock.skip(299)
            await rig.looked()
            assert not driving.over.is_set()
            rig.clock.skip(stall.LOOK_EVERY)
            outcome = await driving.ended()
        assert outcome.outcome == "failed"
        assert "300 s without any sign of life, its idle limit" in outcome.reason

    run(body)


def test_a_program_that_is_silent_and_computes_is_not_idle(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start("sh", "-c", "while :; do :; done", limits=Limits(idle=300, grace=0))
        async with rig.driven(session) as driving:
            for _ in range(5):
                await rig.looked()
                await rig.until_it_computes(session)
                rig.clock.skip(300)
            await rig.looked()
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"

    run(body)


def test_a_stall_is_reported_once_and_again_after_a_movement_and_ends_nothing(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start()
        async with rig.driven(session) as driving:
            await rig.looked()
            for _ in range(3):
                rig.clock.skip(stall.STALL_AFTER)
                await rig.looked()
            stalled = await rig.until_event(session.id, "stall")
            assert isinstance(stalled.event, Stalled)
            assert stalled.event.seconds >= stall.STALL_AFTER
            assert {"optio.log", "run/1/stdout", "run/1/stderr"} <= set(stalled.event.signs)
            (taskdir(session) / "run/1/stdout").write_text("a movement\n")
            rig.clock.skip(stall.LOOK_EVERY)
            await rig.looked()
            rig.clock.skip(stall.STALL_AFTER)
            await rig.until_event(session.id, "stall", 2)
            assert (await rig.types(session.id)).count("stall") == 2
            assert alive(program_pid(session))
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"

    run(body)


@pytest.mark.parametrize(("limits", "grace"), [(Limits(), drive.GRACE), (Limits(grace=100), 100)])
def test_a_program_that_has_said_done_has_a_grace_to_exit_and_is_ended_then(
    run: Run, rig: SessionRig, limits: Limits, grace: float
) -> None:
    async def body() -> None:
        session = await rig.start(limits=limits)
        async with rig.driven(session) as driving:
            say(session, "DONE: all of it")
            await rig.until_event(session.id, "done")
            rig.clock.skip(grace - 1)
            say(session, "STATUS: tidying up")
            await rig.until_event(session.id, "status")
            assert alive(program_pid(session))
            rig.clock.skip(1)
            outcome = await driving.ended()
        assert (outcome.outcome, outcome.summary, outcome.exit) == ("done", "all of it", -15)
        assert "notice" in await rig.types(session.id)

    run(body)


def test_a_program_that_does_not_hear_term_is_killed(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
        async with rig.driven(session) as driving:
            say(session, "DONE")
            await rig.until_event(session.id, "done")
            while not driving.over.is_set():
                rig.clock.skip(1)
                with anyio.move_on_after(0.05):
                    await driving.over.wait()
            assert (await driving.ended()).exit == -9

    run(body)


SUPERVISED = {
    "no driver": (
        JobLimits(no_driver=1, check_every=1, grace=0),
        "sleep 300",
        "stopped on its host, where no driver was seen for too long",
    ),
    "spool": (
        JobLimits(spool_bytes=1000, check_every=1, grace=0),
        "head -c 2000 /dev/zero; sleep 300",
        "stopped on its host: its output grew past the limit",
    ),
    "free space": (
        JobLimits(free_bytes=10**17, check_every=1, grace=0),
        "sleep 300",
        "stopped on its host: too little room was left on the disk",
    ),
}


@pytest.mark.parametrize("case", SUPERVISED)
def test_what_the_supervisor_stopped_ends_with_its_reason_also_when_no_driver_was_there(
    run: Run, rig: SessionRig, case: str
) -> None:
    limits, program, reason = SUPERVISED[case]

    async def body() -> None:
        session = await rig.start("sh", "-c", program, job_limits=limits)
        await rig.store.release(session.lease)
        with anyio.fail_after(20):
            async with aclosing(rig.host.follow(f"{session.record.rundir}/exit")) as exit_file:
                await anext(exit_file)
        async with rig.driven(await rig.adopt(session.id)) as driving:
            outcome = await driving.ended()
        assert (outcome.outcome, outcome.reason) == ("failed", reason)

    run(body)


# Clocks


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_a_wall_clock_that_jumps_stops_nothing_and_changes_no_driver(run: Run, rig: SessionRig, jump: float) -> None:
    async def body() -> None:
        session = await rig.start(limits=Limits(wall=3600, idle=3600, grace=0))
        async with rig.driven(session) as driving:
            await rig.looked()
            rig.clock.wall_error = jump
            say(session, "STATUS: on")
            await rig.until_event(session.id, "status")
            rig.clock.skip(RENEW_EVERY)
            await rig.renewed()
            with pytest.raises(LeaseHeld):
                await rig.adopt(session.id)
            assert alive(program_pid(session))
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        assert (await rig.types(session.id)).count("session.started") == 1

    run(body)


def test_a_wall_clock_that_went_back_does_not_lengthen_the_time_limit_beyond_itself(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start(limits=Limits(wall=3600, grace=0))
        await rig.store.release(session.lease)
        rig.clock.wall_error = -YEAR
        async with rig.driven(await rig.adopt(session.id)) as driving:
            await rig.looked()
            rig.clock.skip(3600)
            assert "its time limit" in (await driving.ended()).reason

    run(body)


def test_a_machine_that_slept_past_its_lease_goes_on_when_nobody_took_over(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start()
        async with rig.driven(session) as driving:
            await rig.looked()
            rig.clock.skip(100 * LEASE_TTL)
            await rig.renewed()
            say(session, "STATUS: on", "DONE")
            assert (await driving.ended()).outcome == "done"
        types = await rig.types(session.id)
        assert "driver.changed" not in types
        assert types.count("status") == 1

    run(body)


def test_a_wall_clock_that_jumps_may_change_the_driver_and_the_one_before_is_told(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start()
        async with rig.driven(session) as first:
            say(session, "STATUS: one")
            await rig.until_event(session.id, "status")
            rig.clock.wall_error = YEAR
            async with rig.driven(await rig.adopt(session.id)) as second:
                say(session, "STATUS: two")
                await rig.until_event(session.id, "status", 2)
                assert isinstance(await first.failed(), LeaseLost)
                say(session, "DONE")
                assert (await second.ended()).outcome == "done"
        types = await rig.types(session.id)
        assert (types.count("status"), types.count("session.started"), types.count("session.ended")) == (2, 1, 1)

    run(body)


# Notifications


def told(rig: SessionRig) -> list[str]:
    path = rig.base / "told"
    return path.read_text().splitlines() if path.exists() else []


NOTE = 'printf "%s %s %s\\n" "$OPTIO_SESSION" "$OPTIO_EVENT" "$OPTIO_TEXT" >>told'


def test_a_person_is_told_when_they_are_asked_for_and_when_it_has_ended(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rig.base)

    async def body() -> None:
        session = await rig.start(notify=NOTE)
        async with rig.driven(session) as driving:
            say(session, "STATUS: nothing of interest", "ATTENTION: which\0 of the two?")
            await rig.until_event(session.id, "attention")
            say(session, "ERROR: no $(touch answer) in time")
            await driving.ended()
        assert told(rig) == [
            f"{session.id} attention which\ufffd of the two?",
            f"{session.id} ended failed: no $(touch answer) in time",
        ]

    run(body)


SLEEP = f"sleep 1000.{os.getpid()}"
"""Told apart from what other tests let sleep at the same time."""

BAD_NOTIFIERS = {
    "failing": "echo no >&2; exit 3",
    "not there": "/nonexistent/command",
    "flooding": "head -c 100000000 /dev/zero",
    "hanging": f"{SLEEP}; :",
    "hanging in the background": f"{SLEEP} & {SLEEP}",
}


@pytest.mark.parametrize("case", BAD_NOTIFIERS)
def test_a_notification_that_fails_or_hangs_changes_nothing_and_leaves_nothing(
    run: Run, rig: SessionRig, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        session = await rig.start(notify=BAD_NOTIFIERS[case])
        async with rig.driven(session) as driving:
            say(session, *(f"ATTENTION: number {number}" for number in range(5)), "STATUS: on", "DONE")
            # The journal does not wait for it, nor do those who follow it.
            await rig.until_event(session.id, "session.ended")
            with caplog.at_level(logging.WARNING):
                while not driving.over.is_set():
                    rig.clock.skip(notify.LIMIT)
                    with anyio.move_on_after(0.1):
                        await driving.over.wait()
            assert (await driving.ended()).outcome == "done"
        assert (await rig.types(session.id)).count("attention") == 5

    run(body)
    assert SLEEP not in command_lines()


def test_notifications_that_hang_do_not_hold_up_the_end_one_after_the_other(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rig.base)

    async def body() -> None:
        session = await rig.start(notify=f"{NOTE}; [ $OPTIO_EVENT = ended ] || sleep 1000")
        async with rig.driven(session) as driving:
            say(session, *(f"ATTENTION: number {number}" for number in range(50)), "DONE")
            await driving.ended()  # in the time of this machine: not fifty times the limit
        assert told(rig)[-1] == f"{session.id} ended done: "

    run(body)


# Secrets

GIVEN = "correct-horse-battery"
INHERITED = "staple-of-the-driver"
SHAPED = "ghp_" + "a1B2" * 9
SECRETS = (GIVEN, INHERITED, SHAPED)


class ListeningHost(LocalHost):
    """This machine; every command line that it runs is noted."""

    def __init__(self, taskdir: str) -> None:
        super().__init__(taskdir)
        self.commands: list[str] = []

    async def run_command(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        input: bytes | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> RunResult:
        self.commands.append(command)
        return await super().run_command(
            command, cwd=cwd, env=env, input=input, timeout=timeout, output_limit=output_limit
        )


def command_lines() -> str:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def without_secrets(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize("adopted", [False, True])
def test_secrets_are_in_no_journal_export_notification_or_list_of_processes(
    run: Run, rig: SessionRig, monkeypatch: pytest.MonkeyPatch, adopted: bool
) -> None:
    monkeypatch.setenv("DRIVERS_TOKEN", INHERITED)
    monkeypatch.chdir(rig.base)
    rig.host = listening = ListeningHost(str(rig.base))
    database = rig.base / "journal.db"

    async def on_deliverable(_: SessionHookContext, deliverable: Deliverable) -> str:
        if deliverable.name == "bad":
            raise RuntimeError(f"cannot log in with {INHERITED}")
        return f"stored with {INHERITED}"

    async def body() -> None:
        async with open_sqlite(database) as store:
            rig.store = store
            session = await rig.start(
                "sh", "-c", f": {SHAPED}; sleep 300", env={"API_KEY": GIVEN}, notify=NOTE, on_deliverable=on_deliverable
            )
            if adopted:
                await store.release(session.lease)
                session = await rig.adopt(session.id, on_deliverable=on_deliverable)
            async with rig.driven(session) as driving:
                for secret in SECRETS:
                    say(session, f"STATUS: 10% with {secret}", f"a line with {secret}", f"ATTENTION: {secret}?")
                    say(session, f"DELIVERABLE: {secret}")
                hand_over(session, "good", "x")
                hand_over(session, "bad", "x")
                await rig.until_event(session.id, "deliverable", 2)
                seen = command_lines().replace(f"{SHAPED}; sleep 300", "")
                say(session, "ERROR: could not use " + " or ".join(SECRETS))
                await driving.ended()
            exported = [line async for line in export_lines(store, session.id)]
            record = (await store.snapshot(session.id)).record
            assert record.outcome is not None
            assert record.outcome.reason == "could not use [redacted] or [redacted] or [redacted]"
            shown = "".join(record.to_json() for record in await rig.history(session.id))
            assert shown.count("[redacted]") > 12
            # Of the file, too, every byte.
            stored = "".join(path.read_bytes().decode(errors="replace") for path in rig.base.glob("journal.db*"))
            for text in ("\n".join(exported), shown, stored, seen, "\n".join(told(rig))):
                assert [secret for secret in SECRETS if secret in text] == []
            assert all(GIVEN not in command and INHERITED not in command for command in listening.commands)
            assert GIVEN not in (taskdir(session) / "replies").read_text()
            assert INHERITED not in (taskdir(session) / "replies").read_text()

    run(body)


def test_an_error_at_the_start_names_no_secret_and_leaves_no_session_behind(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        for wrong in (
            {"cwd": "/nonexistent"},
            {"env": {"API_KEY": GIVEN, "no name": "x"}},
            {"env": {"K": f"{GIVEN}\0"}},
        ):
            given = {"env": {"API_KEY": GIVEN}, **wrong}
            with pytest.raises((HostError, ValueError)) as caught:
                await rig.start(**given)
            assert GIVEN not in str(caught.value)
        for record in await rig.store.sessions():
            assert (record.state, record.driver) == ("ended", None)
            assert record.outcome is not None
            assert "could not be started" in record.outcome.reason
            assert GIVEN not in record.outcome.reason

    run(body)


@pytest.mark.parametrize(
    "name", ["API_KEY", "GH_TOKEN", "client_secret", "PGPASSWORD", "AWS_CREDENTIALS", "BASIC_AUTH"]
)
def test_what_a_variable_of_such_a_name_holds_is_a_secret(name: str) -> None:
    assert Redactor.of_environment({name: "s3cret value"})("with s3cret value") == "with [redacted]"


def test_tokens_are_found_behind_an_escape_and_an_underscore_and_in_keys() -> None:
    token = "ghp_" + "b" * 36
    redact = Redactor.of_environment({"MY_TOKEN": "correct-horse"})
    for text in (f"a\\n{token}", f"x_{token}", f"{token}_x", f'"{token}"', f"({token})"):
        assert token not in redact(text)
    assert redact("a word like risk-free-of-any-token-at-all-here") == "a word like risk-free-of-any-token-at-all-here"
    found = redacted_json(redact, {"headers": {"correct-horse": 1, "correct-horse.": 2, "[redacted]": 3}})
    assert found == {"headers": {"[redacted]": 1, "[redacted].": 2, "[redacted]*": 3}}


def test_of_a_secret_of_several_lines_each_line_is_one() -> None:
    redact = Redactor.of_environment({"DEPLOY_KEY": "-----BEGIN-----\nbase64base64\n-----END-----\n"})
    assert redact("a line: base64base64") == "a line: [redacted]"


# Callbacks


def test_adopting_without_a_callback_is_an_error_unless_said(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        session = await rig.start(on_deliverable=lambda context, deliverable: None)
        await rig.store.release(session.lease)
        with pytest.raises(CallbackMissing, match="on_deliverable") as caught:
            await rig.adopt(session.id)
        assert caught.value.names == ("on_deliverable",)
        assert (await rig.store.snapshot(session.id)).lease.driver is None
        async with rig.driven(await rig.adopt(session.id, without_callbacks=True)) as driving:
            hand_over(session, "report.md", "x")
            say(session, "DONE")
            assert (await driving.ended()).outcome == "done"
        assert (rig.out / "report.md").read_text() == "x"

    run(body)
