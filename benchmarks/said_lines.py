"""What an agent says in a long run, made from a recorded call of its model: mostly pieces of words."""

import json
import uuid
from pathlib import Path
from random import Random
from typing import Any

RECORDED = Path(__file__).parent.parent / "tests/agents/transcripts/perm_allow.jsonl"
TEXT_PIECES = 60
INPUT_PIECES = 12
"""How many pieces one call of the model has of its text, and of the input of the tool that it uses."""

MIX = "95 % stream_event (of them 91 % deltas of 8 to 22 characters), 2.4 % assistant, 1.2 % user, 1.2 % system"


def write_lines(path: Path, count: int) -> None:
    """Write so many lines, each with a uuid of its own."""
    call = _one_call()
    random = Random(1)
    with path.open("w") as file:
        for number in range(count):
            message = {**call[number % len(call)], "uuid": str(uuid.UUID(int=random.getrandbits(128), version=4))}
            file.write(json.dumps(message, separators=(",", ":"), ensure_ascii=False) + "\n")


def _one_call() -> list[dict[str, Any]]:
    entries = map(json.loads, RECORDED.read_text().splitlines())
    said = [entry["msg"] for entry in entries if entry["dir"] == "<"]

    def those(kind: str, **holds: str) -> list[dict[str, Any]]:
        return [
            each
            for each in said
            if each["type"] == kind and all(json.dumps(v) in json.dumps(each) for v in holds.values())
        ]

    events: dict[str, list[dict[str, Any]]] = {}
    for each in those("stream_event"):
        event = each["event"]
        piece = event.get("delta", event.get("content_block", {}))
        events.setdefault(f"{event['type']} {piece.get('type', '')}".strip(), []).append(each)
    text, tool = events["content_block_delta text_delta"], events["content_block_delta input_json_delta"]
    spoke, fed = those("assistant"), those("user")
    [tool_use] = [each for each in spoke if each["message"]["content"][0]["type"] == "tool_use"]
    [words] = [each for each in spoke if each["message"]["content"][0]["type"] == "text"]
    stop = events["content_block_stop"][0]
    return [
        next(each for each in those("system") if each["subtype"] == "status"),
        events["message_start"][0],
        events["content_block_start text"][0],
        *(text[n % len(text)] for n in range(TEXT_PIECES)),
        words,
        stop,
        events["content_block_start tool_use"][0],
        *(tool[n % len(tool)] for n in range(INPUT_PIECES)),
        tool_use,
        stop,
        events["message_delta"][0],
        events["message_stop"][0],
        fed[0],
    ]
