"""What an agent says: lines of stream-json, and the dialogue that answers them."""

import json
from collections import Counter

from fuzz.target import Choices, target
from optio_agents.conversation.contract import PermissionDecision
from optio_agents.conversation.dialogue import Dialogue, Heard
from optio_agents.conversation.messages import Unknown, Unparsed
from optio_agents.conversation.parse import parse
from optio_agents.conversation.questions import Questions, Settled
from optio_agents.conversation.turns import Turns
from optio_agents.events import event_data, event_from
from optio_agents.journal.documents import to_json
from optio_agents.redaction import Redactor, redacted_json

IDS = ("r1", "r2", "r3")
LINES: tuple[dict[str, object], ...] = (
    {"type": "system", "subtype": "init", "session_id": "s", "model": "m", "permissionMode": "default"},
    {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}},
    {"type": "assistant", "message": {"content": [{"type": "text", "text": "hi"}]}},
    {"type": "assistant", "message": {"content": [{"type": "thinking", "thinking": "hm"}]}},
    {"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"a": 1}}]}},
    {"type": "result", "subtype": "success", "is_error": False, "result": "ok", "total_cost_usd": 0.5},
    {"type": "control_response", "response": {"subtype": "success", "request_id": "mine", "response": {}}},
    {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 3, "retry_delay_ms": 5},
    {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed", "utilization": 0.5}},
    {"type": "stream_event", "event": {}},
)  # fmt: skip


@target
def stream_json(data: bytes) -> None:
    """No line raises. What is not understood is passed on whole, and all that comes of a line can be stored."""
    message = parse(data)
    if isinstance(message, Unparsed):
        assert message.line == data
    if isinstance(message, Unknown):
        assert message.raw == json.loads(data.decode("utf-8-sig"))
    storable(Dialogue(Turns({"a": "sent"}), Questions(), Redactor(), "").hear(message, 1.0))


def storable(heard: Heard) -> list[str]:
    """The ids of the requests that it answers; fails unless every event and line is what it must be."""
    for event in heard.events:
        stored = to_json(redacted_json(Redactor(), dict(event_data(event))))
        assert event_data(event_from(event.type, json.loads(stored))) is not None
    answered = []
    for line in heard.lines:
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert line.isascii()
        said = json.loads(line)
        assert said["type"] == "control_response"
        answered.append(said["response"]["request_id"])
    return answered


@target
def dialogue(data: bytes) -> None:
    """Whatever is said in whatever order, each request has at most one answer, and a closed question stays closed."""
    choices = Choices(data)
    talk = Dialogue(Turns({"a": "sent", "b": "sent"}), Questions(), Redactor(), "")
    answers: Counter[str] = Counter()
    asked: set[str] = set()
    closed: set[str] = set()

    def heard(found: Heard) -> None:
        answers.update(storable(found))
        for question in found.questions:
            assert question.id not in closed
            if question.status != "open":
                closed.add(question.id)

    now = 1.0
    while choices.left:
        now += 1
        match choices.below(6):
            case 0:
                tool = choices.pick(("Bash", "AskUserQuestion"))
                body: dict[str, object] = {"subtype": "can_use_tool", "tool_name": tool, "input": {"command": "ls"}}
                body["tool_use_id"] = choices.pick(("t", "u"))
                if choices.flag():
                    body["agent_id"] = "sub"
                request = choices.pick(IDS)
                if request in asked:
                    continue  # the agent gives each request an id of its own
                asked.add(request)
                heard(talk.hear(parse(line({"type": "control_request", "request_id": request, "request": body})), now))
            case 1:
                said = {"type": "control_cancel_request", "request_id": choices.pick(IDS)}
                heard(talk.hear(parse(line(said)), now))
            case 2:
                request, allow = choices.pick(IDS), choices.flag()
                settled = talk.questions.settle(request, PermissionDecision("allow" if allow else "deny"), "me", now)
                if isinstance(settled, Settled):
                    assert settled.question.status != "open"
                    closed.add(request)
                    answers[request] += 1
            case 3:
                request = choices.pick(IDS)
                odd = {"subtype": choices.text(9)}
                said = {"type": "control_request", "request_id": f"odd-{now:g}", "request": odd}
                found = talk.hear(parse(line(said)), now)
                assert storable(found) == [f"odd-{now:g}"]
            case 4:
                heard(talk.hear(parse(line(choices.pick(LINES))), now))
            case _:
                broken = bytearray(line(choices.pick(LINES)))
                for _ in range(choices.below(4)):
                    broken[choices.below(len(broken))] = choices.below(256)
                heard(talk.hear(parse(bytes(broken)), now))
    heard(talk.end(now))
    assert not talk.questions.open
    assert max(answers.values(), default=0) <= 1, answers


def line(message: dict[str, object]) -> bytes:
    """As the agent writes it."""
    return json.dumps(message).encode("utf-8", "replace")
