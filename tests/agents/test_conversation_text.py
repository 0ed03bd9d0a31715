"""What an agent may write between, inside and beside its messages: none of it ends a conversation, or takes memory."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from conversation_rig import ConversationRig, Rule, Talking, run
from conversation_rig import rig as rig
from fake_claude import result

from host.job_rig import until
from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.conversation.parse import LINE_LIMIT

USER = '"type":"user"'
MIB = 1024 * 1024


def text(said: str) -> dict[str, object]:
    """The agent says something."""
    return {"type": "assistant", "message": {"content": [{"type": "text", "text": said}]}, "session_id": "s"}


def line(message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


def output(talking: Talking) -> Path:
    """The file that is the agent's stdout. The test may write to it as the agent does."""
    return Path(talking.session.record.rundir, "stdout")


async def speak(talking: Talking, *pieces: bytes) -> None:
    """Write bytes as the agent would, all of them at once, once it has said what it says at first."""
    await until(lambda: output(talking).stat().st_size > 0, "the answer to the greeting")
    with output(talking).open("ab") as spool:
        spool.writelines(pieces)


class Heard(list[dict[str, Any]]):
    """What a listener gets."""

    def texts(self) -> list[str]:
        """What the agent has said, in order."""
        said = (each["message"]["content"] for each in self if each.get("type") == "assistant" and "message" in each)
        return [content[0]["text"] for content in said]

    async def until(self, *said: str) -> None:
        await until(lambda: self.texts() == list(said), f"that it said {len(said)} things")


@pytest.mark.parametrize(
    "written",
    [
        b"\xef\xbb\xbf" + line(text("whole")),
        line(text("whole")).replace(b"\n", b"\r\n"),
        b"Warning: \xff\xfe\n" + line(text("whole")),
        b"\0" * 100 + b"\n" + line(text("whole")),
        b'"text"\n12.5\ntrue\n[{"type":"result"}]\n' + line(text("whole")),
        b"[" * 100_000 + b"\n" + line(text("whole")),
        b'{"type":"assistant"}\n{"type":"result","usage":7}\n{"type":7}\n' + line(text("whole")),
    ],
    ids=["bom", "crlf", "not utf-8", "nul", "no object", "deep", "misshapen"],
)
def test_a_message_among_bytes_of_every_kind_is_heard_whole_and_the_next_one_too(
    rig: ConversationRig, written: bytes
) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, result("Hello.")))) as talking:
            heard = Heard()
            talking.conversation.on_event(heard.append)
            await speak(talking, written, line(text("and after it")))
            await heard.until("whole", "and after it")
            assert (await talking.conversation.ask("hi")).text == "Hello."

    run(body)


def test_a_nul_and_other_control_characters_in_a_text_come_through(rig: ConversationRig) -> None:
    async def body() -> None:
        odd = "a\0b\x1b[2Jc\u2028d\x85e\ud83d"
        async with rig.talking(rig.agent()) as talking:
            heard = Heard()
            talking.conversation.on_event(heard.append)
            await speak(talking, json.dumps(text(odd)).encode(), b"\n")
            await heard.until(odd)
            event = (await rig.until_event(talking.session.id, "agent.text")).event
            assert getattr(event, "text", "").startswith("a\0b\x1b[2Jc")

    run(body)


def test_a_character_that_is_cut_between_two_writes_is_whole(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent()) as talking:
            heard = Heard()
            talking.conversation.on_event(heard.append)
            written = line(text("five \u20ac"))
            middle = written.index("\u20ac".encode()) + 1
            # What is heard of the first message says that the beginning of the second was read, too.
            await speak(talking, line(text("first")), written[:middle])
            await heard.until("first")
            await speak(talking, written[middle:])
            await heard.until("first", "five \u20ac")
            assert "agent.unparsed" not in await rig.types(talking.session.id)

    run(body)


def test_a_message_of_3_megabytes_is_one_message(rig: ConversationRig) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent()) as talking:
            heard = Heard()
            talking.conversation.on_event(heard.append)
            long = "\u20ac" * MIB
            await speak(talking, line(text(long)), line(text("next")))
            await heard.until(long, "next")

    run(body)


def test_a_line_of_100_megabytes_takes_little_memory_and_stays_whole_where_it_was_written(
    rig: ConversationRig,
) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, result("Hello.")))) as talking:
            tracemalloc.start()
            try:
                await speak(talking, *[b"x" * MIB] * 100, b"\n")
                unparsed = (await rig.until_event(talking.session.id, "agent.unparsed")).event
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert getattr(unparsed, "size", 0) == 100 * MIB
            assert peak < 3 * LINE_LIMIT
            assert output(talking).stat().st_size > 100 * MIB
            assert (await talking.conversation.ask("hi")).text == "Hello."

    run(body)


def test_a_last_message_without_a_newline_is_heard_when_the_agent_has_ended(rig: ConversationRig) -> None:
    async def body() -> None:
        last = json.dumps(result("Last words."))
        async with rig.talking(rig.agent(Rule(USER, last, exits=0))) as talking:
            assert (await talking.conversation.ask("hi")).text == "Last words."

    run(body)


def test_a_warning_on_stderr_in_the_middle_of_a_message_is_in_no_message(rig: ConversationRig) -> None:
    async def body() -> None:
        agent = rig.agent(Rule(USER, result("Hello.")))
        written = line(text("whole")).decode().strip()
        begin, end = written[:20], written[20:]
        noisy = rig.base / "noisy"
        noisy.write_text(
            f"#!/bin/sh\nprintf %s '{begin}'; echo 'Warning: something' >&2; printf '%s\\n' '{end}'\n"
            f"echo 'Warning: more' >&2\nexec {agent.executable}\n"
        )
        noisy.chmod(0o755)
        async with rig.talking(ClaudeCode(executable=str(noisy))) as talking:
            assert (await talking.conversation.ask("hi")).text == "Hello."
            events = [each.event for each in await rig.history(talking.session.id)]
            assert [getattr(each, "text", "") for each in events if each.type == "agent.text"] == ["whole"]
            assert "agent.unparsed" not in [each.type for each in events]
            warnings = Path(talking.session.record.rundir, "stderr").read_text()
            assert warnings == "Warning: something\nWarning: more\n"

    run(body)
