"""What other processes put into the inbox of a conversation, and what becomes of it."""

import pytest
from conversation_rig import ConversationRig, Rule, run
from conversation_rig import rig as rig
from fake_claude import asked, result

from host.job_rig import until
from optio_agents.journal import JsonObject, Receipt

ASKS = Rule('"type":"user"', asked("q1"), once=True)
ANSWER = Rule('"request_id":"q1"', result(user_message_uuids=[]))


async def receipt(rig: ConversationRig, session: str, kind: str, data: JsonObject) -> Receipt:
    """What became of a command, once its driver has taken it."""
    command = await rig.store.put(session, kind, data)

    async def taken() -> bool:
        return (await rig.store.command(session, command.number)).receipt is not None

    await until(taken, "the receipt")
    found = (await rig.store.command(session, command.number)).receipt
    assert found is not None
    return found


@pytest.mark.parametrize("stop", [True, False, None])
def test_a_denial_ends_the_turn_when_it_says_so(rig: ConversationRig, stop: bool | None) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(ASKS, ANSWER), prompt="go") as talking:
            session = talking.session.id
            await rig.until_event(session, "question.asked")
            data: JsonObject = {"question": "q1", "message": "no"}
            taken = await receipt(rig, session, "deny", data if stop is None else {**data, "stop": stop})
            assert taken.status == "accepted"
            await rig.until_event(session, "turn.ended")
            [answer] = talking.answers_to("q1")
            assert answer["response"] == {"behavior": "deny", "message": "no", **({"interrupt": True} if stop else {})}

    run(body)


@pytest.mark.parametrize("stop", ["yes", 1, None])
def test_a_denial_that_does_not_say_clearly_whether_to_stop_is_refused_and_the_question_stays_open(
    rig: ConversationRig, stop: str | int | None
) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(ASKS, ANSWER), prompt="go") as talking:
            session = talking.session.id
            await rig.until_event(session, "question.asked")
            taken = await receipt(rig, session, "deny", {"question": "q1", "stop": stop})
            assert taken.status == "refused"
            assert "stop is true or false" in taken.message
            assert [each.id for each in talking.conversation.questions] == ["q1"]
            assert talking.answers_to("q1") == []

    run(body)
