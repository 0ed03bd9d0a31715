"""What a conversation promises whatever the agent, its handlers and its listeners do."""

import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from conversation_rig import ConversationRig, Rule, run
from conversation_rig import rig as rig
from fake_claude import ANSWERED, asked, result
from session_rig import say

from host.job_rig import until
from optio_agents.conversation import subscribers
from optio_agents.conversation.claude import LONGEST_SEND
from optio_agents.conversation.contract import (
    Conversation,
    ConversationClosed,
    PermissionDecision,
    PermissionHandler,
    PermissionRequest,
)
from optio_agents.conversation.exchange import CONTROL_PATIENCE, NOBODY, REMIND_AFTER, REMIND_BUSY_AFTER, START_PATIENCE
from optio_agents.conversation.questions import Settled, TooLate
from optio_agents.conversation.subscribers import CutOff
from optio_agents.errors import AgentRefused, AgentSilent, StoreFull
from optio_agents.journal import OutcomeDocument
from optio_host.cursor import START
from optio_host.errors import HostError
from optio_host.job import Job

USER = '"type":"user"'
ALLOW = PermissionDecision("allow")
HELLO = Rule(USER, result("Hello."))
ASKS = Rule(USER, asked("q1"), once=True)
ANSWER = Rule('"request_id":"q1"', result(user_message_uuids=[]))
INTERRUPT = Rule('"interrupt"', ANSWERED)


def test_it_is_a_conversation_as_task_code_knows_it(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(HELLO)) as talking:
            conversation: Conversation = talking.conversation
            assert isinstance(conversation, Conversation)
            events: list[dict[str, object]] = []
            texts: list[str] = []
            conversation.on_event(events.append)
            conversation.on_message(texts.append)
            assert (conversation.closed, conversation.is_pending()) == (False, False)
            await conversation.send("hi")
            assert conversation.is_pending()
            await until(lambda: texts == ["Hello."], "the answer")
            assert not conversation.is_pending()
            await conversation.close()
            await conversation.close()
            assert conversation.closed
            with pytest.raises(ConversationClosed):
                await conversation.send("more")
            with pytest.raises(ConversationClosed):
                await conversation.interrupt()
            assert await talking.driving.ended() == OutcomeDocument(outcome="closed", exit=0)
        assert events[-1]["type"] == "result"

    run(body)


def test_ask_returns_the_turn_that_answered(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(HELLO)) as talking:
            turn = await talking.conversation.ask("hi")
            assert (turn.text, turn.reason, turn.is_error) == ("Hello.", "completed", False)

    run(body)


def test_every_event_says_which_turn_it_is_of_and_where_its_bytes_are(rig: ConversationRig) -> None:
    started = {"type": "command_lifecycle", "command_uuid": "ID", "state": "started"}
    words = {"type": "assistant", "message": {"content": [{"type": "text", "text": "No such model."}]}}
    wrong = {**words, "error": "unknown", "is_api_error_message": True}
    unasked = result("Done in the background.", user_message_uuids=[])

    async def body() -> None:
        agent = rig.agent(Rule(USER, started, words, "no message\n", wrong, result("Hello."), words, unasked))
        async with rig.talking(agent) as talking:
            turn = (await talking.conversation.ask("hi")).ids[0]
            await rig.until_event(talking.session.id, "turn.ended", 2)
            records = [each for each in await rig.history(talking.session.id) if each.source == "agent"]
            assert [(each.event.type, each.origin.turn, each.origin.synthetic) for each in records] == [
                ("turn.started", turn, False),
                ("agent.text", turn, False),
                ("agent.unparsed", turn, False),
                ("agent.text", turn, True),
                ("turn.ended", turn, False),
                ("agent.text", None, False),
                ("turn.ended", None, False),
            ]
            for record, message in zip(records, [started, words, None, wrong, None, words, unasked], strict=True):
                if message is not None:
                    async with aclosing(talking.conversation.output(record.origin.raw or START)) as messages:
                        raw, _ = await anext(messages)
                    assert raw == {**message, **({"command_uuid": turn} if message is started else {})}
            said = json.loads(records[3].to_json())
            assert (said["turn"], said["synthetic"], said["raw"]["offset"] > 0) == (turn, True, True)

    run(body)


def test_who_waits_for_an_answer_is_told_when_the_agent_ends_without_one(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, exits=1))) as talking:
            with pytest.raises(ConversationClosed):
                await talking.conversation.ask("hi")
            outcome = await talking.driving.ended()
            assert outcome.outcome == "failed"
            assert not talking.conversation.is_pending()
        assert (await rig.types(talking.session.id)).count("turn.cancelled") == 1

    run(body)


def test_an_agent_that_ends_says_why_as_far_as_it_has_said(rig: ConversationRig) -> None:
    broke = result("", is_error=True, terminal_reason="budget_exhausted", errors=["Reached maximum budget"])

    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, broke, exits=1))) as talking:
            await talking.conversation.send("hi")
            assert "Reached maximum budget" in (await talking.driving.ended()).reason

    run(body)


def test_a_message_of_an_id_that_is_pending_is_not_sent_again(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(Rule('"stop"', result()))) as talking:
            for _ in range(2):
                await talking.conversation.send("once", turn_id="00000000-0000-4000-8000-000000000000")
            await talking.conversation.ask("stop")
            assert [each["message"]["content"] for each in talking.told() if each["type"] == "user"] == ["once", "stop"]

    run(body)


def test_a_message_that_is_too_long_is_refused_before_it_is_sent(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(HELLO)) as talking:
            with pytest.raises(ValueError, match=str(LONGEST_SEND)):
                await talking.conversation.send("x" * (LONGEST_SEND + 1))
            assert (await talking.conversation.ask("x" * LONGEST_SEND)).text == "Hello."

    run(body)


@pytest.mark.parametrize(
    "noise",
    ["warning: something\n", "123\n", "null\n", "[]\n", "\n", "\ufeff\n", "\0\0\n", '{"type": "news"}\n', '{"type":\n'],
)
def test_noise_between_messages_ends_nothing(rig: ConversationRig, noise: str) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, noise, result("Hello.")), first=[noise])) as talking:
            assert (await talking.conversation.ask("hi")).text == "Hello."
            assert "agent.unparsed" in await rig.types(talking.session.id)

    run(body)


def test_a_message_of_50_megabytes_is_one_event_with_its_size_and_the_next_is_heard(rig: ConversationRig) -> None:
    async def body() -> None:
        agent = rig.agent(Rule(USER, ["x", 50_000_000], "\n", result("Hello.")))
        async with rig.talking(agent) as talking:
            assert (await talking.conversation.ask("hi")).text == "Hello."
        [unparsed] = [
            each.event for each in await rig.history(talking.session.id) if each.event.type == "agent.unparsed"
        ]
        assert getattr(unparsed, "size", 0) == 50_000_000

    run(body)


def raises(request: PermissionRequest) -> PermissionDecision:
    raise RuntimeError("a secret of the handler")


async def cancels_itself(request: PermissionRequest) -> PermissionDecision:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep_forever()
    raise RuntimeError("it went on")


def returns_nothing(request: PermissionRequest) -> PermissionDecision:
    return None  # type: ignore[return-value]


def decides_what_cannot_be_sent(request: PermissionRequest) -> PermissionDecision:
    return PermissionDecision("allow", updated_input={"x": float("nan")})


def decides_maybe(request: PermissionRequest) -> PermissionDecision:
    return PermissionDecision("maybe")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "handler", [raises, cancels_itself, returns_nothing, decides_what_cannot_be_sent, decides_maybe]
)
def test_a_handler_that_fails_gives_one_answer_which_is_no(rig: ConversationRig, handler: PermissionHandler) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(ASKS, ANSWER)) as talking:
            talking.conversation.on_permission_request(handler)
            await talking.conversation.ask("hi")
            [answer] = talking.answers_to("q1")
            assert answer["response"]["behavior"] == "deny"
            assert "secret" not in str(answer)

    run(body)


def test_a_handler_that_changes_what_it_was_given_changes_nothing(rig: ConversationRig) -> None:
    async def body() -> None:
        spoiled = anyio.Event()

        def spoil_event(event: dict[str, Any]) -> None:
            if event["type"] == "control_request":
                event["request"]["input"]["command"] = "rm -rf /"
                spoiled.set()

        async def spoil_request(request: PermissionRequest) -> PermissionDecision:
            await spoiled.wait()
            request.input["command"] = "rm -rf /"
            request.raw.clear()
            return ALLOW

        async with rig.talking(rig.agent(ASKS, ANSWER)) as talking:
            talking.conversation.on_event(spoil_event)
            talking.conversation.on_permission_request(spoil_request)
            await talking.conversation.ask("hi")
            [answer] = talking.answers_to("q1")
            assert answer["response"] == {"behavior": "allow", "updatedInput": {"command": "true"}}

    run(body)


def test_a_handler_that_hangs_does_not_keep_somebody_else_from_answering(rig: ConversationRig) -> None:
    async def body() -> None:
        called = anyio.Event()

        async def hang(request: PermissionRequest) -> PermissionDecision:
            called.set()
            await anyio.sleep_forever()
            return ALLOW

        async with rig.talking(rig.agent(ASKS, ANSWER)) as talking:
            talking.conversation.on_permission_request(hang)
            await talking.conversation.send("hi")
            await called.wait()
            [question] = talking.conversation.questions
            settled = await talking.conversation.answer(question.id, ALLOW, "a person")
            assert isinstance(settled, Settled)
            await rig.until_event(talking.session.id, "turn.ended")
            assert len(talking.answers_to("q1")) == 1

    run(body)


def test_a_handler_that_comes_late_gets_what_was_asked_before(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(ASKS, ANSWER)) as talking:
            await talking.conversation.send("hi")
            await rig.until_event(talking.session.id, "question.asked")
            talking.conversation.on_permission_request(lambda request: ALLOW)
            await rig.until_event(talking.session.id, "turn.ended")
            assert len(talking.answers_to("q1")) == 1

    run(body)


def test_a_handler_that_goes_while_it_decides_leaves_the_question_to_the_next(rig: ConversationRig) -> None:
    async def body() -> None:
        called = anyio.Event()

        async def hang(request: PermissionRequest) -> PermissionDecision:
            called.set()
            await anyio.sleep_forever()
            return ALLOW

        async with rig.talking(rig.agent(ASKS, ANSWER)) as talking:
            unsubscribe = talking.conversation.on_permission_request(hang)
            await talking.conversation.send("hi")
            await called.wait()
            unsubscribe()
            unsubscribe()
            assert talking.answers_to("q1") == []
            talking.conversation.on_permission_request(lambda request: PermissionDecision("deny", message="no"))
            await rig.until_event(talking.session.id, "turn.ended")
            assert [each["response"]["message"] for each in talking.answers_to("q1")] == ["no"]

    run(body)


def test_a_withdrawn_question_is_not_answered_late_and_who_answers_is_told(rig: ConversationRig) -> None:
    withdraws = Rule('"withdraw"', {"type": "control_cancel_request", "request_id": "q1"}, result())

    async def body() -> None:
        async with rig.talking(rig.agent(withdraws, ASKS)) as talking:
            await talking.conversation.send("hi")
            await rig.until_event(talking.session.id, "question.asked")
            await talking.conversation.ask("withdraw")
            assert isinstance(await talking.conversation.answer("q1", ALLOW), TooLate)
            assert talking.answers_to("q1") == []
            assert talking.conversation.questions == ()

    run(body)


def test_a_question_that_nobody_answers_is_denied_after_the_time_that_was_said(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(ASKS, ANSWER), deny_after=3600.0) as talking:
            await talking.conversation.send("hi")
            await rig.until_event(talking.session.id, "question.asked")
            rig.clock.skip(3500)
            await anyio.wait_all_tasks_blocked()
            assert len(talking.conversation.questions) == 1
            rig.clock.skip(100)
            await rig.until_event(talking.session.id, "turn.ended")
            [answer] = talking.answers_to("q1")
            assert answer["response"]["behavior"] == "deny"
        answered = [
            each.event for each in await rig.history(talking.session.id) if each.event.type == "question.answered"
        ]
        assert [getattr(each, "by", "") for each in answered] == [NOBODY]

    run(body)


def test_a_request_that_is_not_known_is_refused_at_once(rig: ConversationRig) -> None:
    request = {"type": "control_request", "request_id": "r1", "request": {"subtype": "mcp_message"}}

    async def body() -> None:
        agent = rig.agent(Rule('"request_id":"r1"', result(user_message_uuids=[])), Rule(USER, request))
        async with rig.talking(agent) as talking:
            await talking.conversation.send("hi")
            await rig.until_event(talking.session.id, "turn.ended")
            assert [each["subtype"] for each in talking.answers_to("r1")] == ["error"]

    run(body)


def test_an_interrupt_that_is_refused_or_never_answered_is_an_error_and_the_conversation_goes_on(
    rig: ConversationRig,
) -> None:
    refused = {"type": "control_response", "response": {"subtype": "error", "request_id": "ID", "error": "not now"}}

    async def body() -> None:
        async with rig.talking(rig.agent(HELLO, Rule('"interrupt"', refused, once=True))) as talking:
            with pytest.raises(AgentRefused, match="not now"):
                await talking.conversation.interrupt()
            async with anyio.create_task_group() as tasks:

                async def interrupt() -> None:
                    with pytest.raises(AgentSilent):
                        await talking.conversation.interrupt()

                tasks.start_soon(interrupt)
                await until(lambda: sum("interrupt" in str(each) for each in talking.told()) == 2, "the second one")
                rig.clock.skip(CONTROL_PATIENCE)
            assert (await talking.conversation.ask("hi")).text == "Hello."

    run(body)


def test_a_program_that_does_not_speak_the_protocol_fails_with_a_word_to_do(rig: ConversationRig) -> None:
    async def body() -> None:
        mute = rig.base / "mute"
        mute.write_text("#!/bin/sh\nexec sleep 300\n")
        mute.chmod(0o755)
        agent = rig.agent()
        async with rig.talking(type(agent)(executable=str(mute))) as talking:
            await until(lambda: len(talking.told()) == 1, "the greeting")
            rig.clock.skip(START_PATIENCE)
            outcome = await talking.driving.ended()
            assert outcome.outcome == "failed"
            assert "is it a Claude Code" in outcome.reason

    run(body)


def test_a_spool_that_somebody_else_wrote_to_is_tampered_and_nothing_more_is_said(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(HELLO)) as talking:
            await talking.conversation.ask("hi")
            spool = Path(talking.session.record.rundir, "stdin")
            spool.write_bytes(spool.read_bytes() + b'{"type":"control_response"}\n')
            await talking.conversation.send("more")
            assert "tampered" in (await talking.driving.ended()).reason

    run(body)


def test_a_listener_that_raises_or_hangs_keeps_nobody_from_anything(rig: ConversationRig) -> None:
    async def body() -> None:
        events: list[dict[str, object]] = []

        def fail(event: dict[str, object]) -> None:
            raise RuntimeError("a listener")

        async def hang(event: dict[str, object]) -> None:
            await anyio.sleep_forever()

        async with rig.talking(rig.agent(HELLO)) as talking:
            for listener in (fail, hang, events.append):
                talking.conversation.on_event(listener)
            await talking.conversation.ask("hi")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(talking.conversation.close)
                await until(lambda: talking.conversation._exchange.over, "the end")
                rig.clock.skip(subscribers.LAST_ITEMS)
            assert (await talking.driving.ended()).outcome == "closed"
        assert events[-1]["type"] == "result"

    run(body)


def test_with_a_listener_stuck_and_100_000_events_unread_questions_and_interrupts_are_answered(
    rig: ConversationRig,
) -> None:
    piece = '{"type":"stream_event","event":{"delta":{"type":"text_delta","text":"word "}},"parent_tool_use_id":null}\n'

    async def body() -> None:
        cuts: list[CutOff] = []
        stuck = anyio.Event()

        async def hang(event: dict[str, object]) -> None:
            await stuck.wait()

        agent = rig.agent(INTERRUPT, ANSWER, Rule(USER, [piece, 100_000], asked("q1"), once=True))
        async with rig.talking(agent) as talking:
            subscription = talking.conversation.on_event(hang, on_cut_off=cuts.append)
            talking.conversation.on_permission_request(lambda request: ALLOW)
            await talking.conversation.send("hi")
            await rig.until_event(talking.session.id, "question.answered")
            await talking.conversation.interrupt()
            assert subscription.cut_off is not None
            stuck.set()
            await until(lambda: bool(cuts), "that the listener was told")
            assert cuts == [subscription.cut_off]
            rest = 0
            async for event, _ in talking.conversation.output(subscription.cut_off.cursor):
                rest += event["type"] == "stream_event"
                if event["type"] == "result":
                    break
            assert 0 < rest < 100_000
            assert rest + subscribers.QUEUE_ITEMS >= 100_000 - 2

    run(body)


def test_ask_that_is_cancelled_leaves_the_message_pending_and_nothing_else(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(Rule('"stop"', result()))) as talking:
            with anyio.move_on_after(0.2):
                await talking.conversation.ask("hi")
            assert talking.conversation.is_pending()
            assert (await talking.conversation.ask("stop")).text == "Done."

    run(body)


def test_the_state_of_a_session_says_whether_its_agent_is_busy(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(ASKS, ANSWER)) as talking:
            await talking.conversation.send("hi")
            await rig.until_event(talking.session.id, "question.asked")
            assert talking.session.record.state == "running"
            await talking.conversation.answer("q1", ALLOW)
            await rig.until_event(talking.session.id, "turn.ended")
            assert talking.session.record.state == "idle"

    run(body)


def test_nothing_leaves_that_is_not_in_the_journal(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(HELLO)) as talking:
            await talking.conversation.ask("hi")
            rig.memory.broken["commit"] = StoreFull("no room")
            with pytest.raises(StoreFull):
                await talking.conversation.send("this must not leave")
            del rig.memory.broken["commit"]
            await talking.conversation.close()
            assert "must not leave" not in str(talking.told())

    run(body)


def test_what_was_committed_and_has_not_left_is_sent_by_the_next_driver_once(
    rig: ConversationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(HELLO)) as talking:
            await talking.conversation.ask("first")
            append, cut = Job.append, anyio.Event()

            async def half(job: Job, offset: int, data: bytes, *, spool: str = "stdin") -> int:
                await append(job, offset, data[: len(data) // 2], spool=spool)
                cut.set()
                raise HostError("the answer was lost")

            with monkeypatch.context() as patch:
                patch.setattr(Job, "append", half)
                await talking.conversation.send("second")
                await cut.wait()
                await talking.session.leave("as if it were killed")
                await talking.driving.over.wait()
            adopted = await rig.adopt(talking.session.id)
            async with rig.driven(adopted):
                await rig.until_event(adopted.id, "turn.ended", 2)
                said = [each["message"]["content"] for each in talking.told() if each["type"] == "user"]
                assert said == ["first", "second"]
                await adopted.conversation.close()

    run(body)


def test_a_person_who_is_elsewhere_is_told_of_a_question(rig: ConversationRig) -> None:
    async def body() -> None:
        told = rig.base / "told"
        notify = f'printf "%s %s\\n" "$OPTIO_EVENT" "$OPTIO_TEXT" >> {told}'
        async with rig.talking(rig.agent(ASKS, ANSWER), notify=notify) as talking:
            await talking.conversation.send("hi")
            await until(told.exists, "the notification")
            await until(lambda: told.read_text().startswith("question permission: Bash"), "what it says")

    run(body)


def test_costs_are_those_that_the_agent_has_told_last_also_for_the_next_driver(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, result(total_cost_usd=0.25)))) as talking:
            await talking.conversation.ask("hi")
            assert talking.conversation.cost_usd == 0.25
            await talking.session.leave("for the next one")
            await talking.driving.over.wait()
            adopted = await rig.adopt(talking.session.id)
            assert adopted.conversation.cost_usd == 0.25
            async with rig.driven(adopted):
                await adopted.conversation.close()

    run(body)


def test_an_agent_that_stands_still_without_done_is_reminded_once(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(ASKS, ANSWER, HELLO), prompt="go", reminder="System: well?") as talking:
            session = talking.session.id
            await rig.until_event(session, "question.asked")
            rig.clock.skip(REMIND_AFTER)  # it waits for a person, which is not standing still
            await anyio.wait_all_tasks_blocked()
            await talking.conversation.answer("q1", ALLOW)
            await rig.until_event(session, "turn.ended")
            rig.clock.skip(REMIND_AFTER)
            await rig.until_event(session, "turn.ended", 2)
            rig.clock.skip(REMIND_AFTER)
            assert (await talking.conversation.ask("anything else?")).text == "Hello."
            said = [each["message"]["content"] for each in talking.told() if each["type"] == "user"]
            assert said == ["go", "System: well?", "anything else?"]
            assert talking.session.record.conversation is not None
            assert talking.session.record.conversation.reminder == ""

    run(body)


def test_an_agent_whose_turns_fail_before_and_after_the_reminder_has_failed(rig: ConversationRig) -> None:
    broke = result("Not logged in.", is_error=True, terminal_reason="api_error")

    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, broke)), prompt="go", reminder="System: well?") as talking:
            await rig.until_event(talking.session.id, "turn.ended")
            rig.clock.skip(REMIND_AFTER)
            outcome = await talking.driving.ended()
            assert (outcome.outcome, outcome.reason) == ("failed", "the agent's turns fail: Not logged in.")

    run(body)


def test_an_agent_that_waits_for_its_work_in_the_background_is_not_reminded_soon(rig: ConversationRig) -> None:
    def task(number: str, state: str) -> dict[str, Any]:
        return {"type": "system", "subtype": "task_updated", "task_id": number, "patch": {"status": state}}

    begun = {"type": "system", "subtype": "task_started", "task_id": "1", "description": "a subagent"}
    agent = [Rule("go", begun, task("2", "running"), result()), Rule("finish", task("1", "completed"), result()), HELLO]

    async def body() -> None:
        async with rig.talking(rig.agent(*agent), prompt="go", reminder="System: well?") as talking:
            session = talking.session.id
            await rig.until_event(session, "turn.ended")
            rig.clock.skip(REMIND_AFTER)
            await talking.conversation.ask("finish")
            rig.clock.skip(REMIND_AFTER)
            await anyio.wait_all_tasks_blocked()
            await talking.session.leave("another one goes on")
            await talking.driving.over.wait()
            async with rig.driven(await rig.adopt(session)):
                rig.clock.skip(REMIND_BUSY_AFTER)
                await rig.until_event(session, "turn.ended", 3)
            await rig.stop(session)
            said = [each["message"]["content"] for each in talking.told() if each["type"] == "user"]
            assert said == ["go", "finish", "System: well?"]

    run(body)


def test_an_agent_that_has_said_how_it_ended_is_not_reminded(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(HELLO, stays=True), prompt="go", reminder="System: well?") as talking:
            await rig.until_event(talking.session.id, "turn.ended")
            say(talking.session, "DONE")
            await rig.until_event(talking.session.id, "done")
            rig.clock.skip(REMIND_AFTER)
            assert (await talking.driving.ended()).outcome == "done"
            assert "well?" not in str(talking.told())

    run(body)


def test_a_conversation_whose_driver_fails_at_once_is_over_and_close_returns(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(HELLO, stays=True)) as talking:
            rig.memory.broken["commit"] = StoreFull("no room")
            with pytest.raises(StoreFull):
                await talking.conversation.send("hi")
            say(talking.session, "STATUS: 1% there")
            assert isinstance(await talking.driving.failed(), StoreFull)
            del rig.memory.broken["commit"]
            await talking.conversation.close()
            with pytest.raises(ConversationClosed):
                await talking.conversation.send("more")
        await rig.stop(talking.session.id)

    run(body)
