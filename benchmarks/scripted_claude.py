"""Stands in for Claude Code: says what is in a file, and asks, as its user tells it. The same for ours and the peer.

Run as `python scripted_claude.py FILE ARGUMENTS`; the arguments are those of the real program. It hears:

    flood     it says every line of FILE, then the turn ends
    ask N     it asks N times, one after the other, whether it may use a tool; the text that ends the turn is JSON: how
              many milliseconds each answer took, from writing the question to reading the answer
    flood and ask   it says every line, asks once, and the turn ends
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def ask(question: str, number: int) -> float:
    """Ask, and wait for the answer; the milliseconds it took."""
    request = {
        "subtype": "can_use_tool", "tool_name": "Bash", "display_name": "Bash", "tool_use_id": f"toolu_{number}",
        "input": {"command": f"echo {number} > out.txt", "description": "write a file"},
        "permission_suggestions": [], "description": "write a file",
    }  # fmt: skip
    begun = time.perf_counter()
    say({"type": "control_request", "request_id": question, "request": request})
    for line in sys.stdin:
        heard = json.loads(line)
        if heard["type"] == "control_response" and heard["response"]["request_id"] == question:
            break
        answer(heard)
    return 1000 * (time.perf_counter() - begun)


def answer(heard: dict[str, Any]) -> None:
    """What the real one says to a request at once."""
    if heard["type"] == "control_request":
        response = {"subtype": "success", "request_id": heard["request_id"], "response": {}}
        say({"type": "control_response", "response": response})


def main() -> None:
    if "-v" in sys.argv or "--version" in sys.argv:
        print("2.1.330 (Claude Code)")
        return
    for line in sys.stdin:
        heard = json.loads(line)
        answer(heard)
        if heard["type"] != "user":
            continue
        wanted = heard["message"]["content"]
        took: list[float] = []
        if "flood" in wanted:
            sys.stdout.flush()
            sys.stdout.buffer.write(Path(sys.argv[1]).read_bytes())
        if "ask" in wanted:
            count = int(wanted.removeprefix("ask")) if wanted.startswith("ask") else 1
            took = [ask(f"{heard.get('uuid')}-{number}", number) for number in range(count)]
        say(
            {
                "type": "result", "subtype": "success", "is_error": False, "result": json.dumps(took),
                "terminal_reason": "completed", "session_id": "s", "num_turns": 1, "duration_ms": 1,
                "duration_api_ms": 1, "usage": {"input_tokens": 1, "output_tokens": 1}, "permission_denials": [],
                "user_message_uuids": [heard["uuid"]] if "uuid" in heard else [],
            }
        )  # fmt: skip


if __name__ == "__main__":
    main()
