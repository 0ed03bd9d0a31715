"""A driver of a conversation fails at each of its steps; the next one goes on, and nothing is lost or doubled."""

import json
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from conversation_rig import ConversationRig, Rule, run
from conversation_rig import rig as rig
from fake_claude import asked, result

from host.job_rig import until
from optio_agents.conversation.contract import PermissionDecision
from optio_agents.errors import JournalError, StoreFull
from optio_agents.journal.batch import Batch, Committed
from optio_agents.journal.lease import Lease
from optio_agents.session import Session
from optio_host.job import Job
from optio_host.job_errors import NotOwner

AGENT = (
    Rule('"type":"user"', asked("q1"), once=True),
    Rule('"request_id":"q1"', result(user_message_uuids=[])),
    Rule('"type":"user"', result("Hello.")),
)
STEPS = 10
"""More steps than a conversation of this kind takes of any sort: the last ones are never reached."""


class Crash:
    """Something fails once, at the time that it is done for the so-manieth time: before, in the middle, or after."""

    def __init__(self, number: int) -> None:
        self._left = number

    def is_now(self) -> bool:
        self._left -= 1
        return self._left == 0


def fail_commits(rig: ConversationRig, monkeypatch: pytest.MonkeyPatch, crash: Crash, *, after: bool) -> None:
    commit = rig.memory.commit

    async def failing(lease: Lease, batch: Batch) -> Committed:
        now = crash.is_now()
        if now and not after:
            raise StoreFull("as if it had died before")
        committed = await commit(lease, batch)
        if now:
            raise StoreFull("as if it had died behind")
        return committed

    monkeypatch.setattr(rig.memory, "commit", failing)


def fail_appends(rig: ConversationRig, monkeypatch: pytest.MonkeyPatch, crash: Crash, *, part: float) -> None:
    append = Job.append

    async def failing(job: Job, offset: int, data: bytes, *, spool: str = "stdin") -> int:
        if not crash.is_now():
            return await append(job, offset, data, spool=spool)
        await append(job, offset, data[: int(len(data) * part)], spool=spool)
        raise NotOwner(job.rundir, "as if it had died")  # which ends a driver at once

    monkeypatch.setattr(Job, "append", failing)


Fault = Callable[[ConversationRig, pytest.MonkeyPatch, Crash], None]
FAULTS: dict[str, Fault] = {
    "before a commit": lambda *given: fail_commits(*given, after=False),
    "behind a commit": lambda *given: fail_commits(*given, after=True),
    "before an append": lambda *given: fail_appends(*given, part=0),
    "in an append": lambda *given: fail_appends(*given, part=0.5),
    "behind an append": lambda *given: fail_appends(*given, part=1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_driver_that_fails_at_any_step_loses_nothing_of_a_conversation_and_doubles_nothing(
    rig: ConversationRig, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    async def talk(number: int) -> int:
        """Fail at this step; how many drivers it took."""
        session = await rig.start(agent=rig.agent(*AGENT), prompt="go")
        with monkeypatch.context() as patch:
            FAULTS[fault](rig, patch, Crash(number))
            drivers = 1
            while not await closes(rig, session):
                drivers += 1
                assert drivers <= 2
                session = await rig.adopt(session.id)
        told = [json.loads(line) for line in Path(session.record.rundir, "stdin").read_text().splitlines()]
        assert [each.get("request", {}).get("subtype", each["type"]) for each in told] == [
            "initialize",
            "user",
            "control_response",
        ]
        types = await rig.types(session.id)
        for kind in ("turn.queued", "question.asked", "question.answered", "turn.ended", "session.ended"):
            assert types.count(kind) == 1, (number, kind, types)
        return drivers

    async def body() -> None:
        drivers = [await talk(number) for number in range(1, STEPS)]
        assert drivers[0] == 2  # it did fail
        assert drivers[-1] == 1  # there are no more steps to fail at

    run(body)


async def closes(rig: ConversationRig, session: Session) -> bool:
    """Drive a session until its turn has ended, and close it; False when its driver fails."""
    session.conversation.on_permission_request(lambda request: PermissionDecision("allow"))
    async with rig.driven(session) as driving:

        async def answered() -> bool:
            return driving.over.is_set() or "turn.ended" in await rig.types(session.id)

        await until(answered, "the answer")
        try:
            await session.conversation.close()
        except JournalError:
            driving.scope.cancel()  # it, or the commit before it, has failed: the driver is as good as dead
        with anyio.fail_after(20):
            await driving.over.wait()
    record = (await rig.store.snapshot(session.id)).record
    assert record.outcome is None or record.outcome.outcome == "closed"
    return record.state == "ended"
