"""An agent that speaks Claude Code's protocol as a test wants it to: slow, wrong, silent, or far too much.

Run as `python fake_claude.py SCRIPT`. The script is JSON: what it says at first, and what it says to each line it hears
that holds a text, the first time in a row that it fits. In what it says, ID stands for the request id or the uuid of
the line. It needs nothing but the standard library, and starts in a few milliseconds.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

ANSWERED = {"type": "control_response", "response": {"subtype": "success", "request_id": "ID", "response": {}}}


def result(text: str = "Done.", **fields: object) -> dict[str, Any]:
    """A turn is over."""
    return {
        "type": "result", "subtype": "success", "is_error": False, "result": text, "terminal_reason": "completed",
        "session_id": "s", "usage": {}, "permission_denials": [], "user_message_uuids": ["ID"], **fields,
    }  # fmt: skip


def asked(request: str, **fields: object) -> dict[str, Any]:
    """It asks whether it may use a tool."""
    body = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "true"}, "tool_use_id": "t"}
    return {"type": "control_request", "request_id": request, "request": {**body, **fields}}


def main() -> None:
    """Say and hear."""
    script = json.loads(Path(sys.argv[1]).read_text())
    say(script.get("first", []), "")
    rules = script.get("rules", [])
    for line in sys.stdin:
        try:
            heard = json.loads(line)
        except ValueError:
            sys.exit(1)  # as the real one does
        name = heard.get("request_id") or heard.get("uuid") or heard.get("response", {}).get("request_id", "")
        for rule in rules:
            if rule["hears"] in line:
                say(rule["says"], name)
                if rule.get("once"):
                    rules.remove(rule)
                if "exits" in rule:
                    sys.exit(rule["exits"])
                break
    if script.get("stays"):
        time.sleep(300)


def say(lines: list[Any], name: str) -> None:
    """Write lines: an object as JSON, a text as it is, and a list as a text and how often it is repeated."""
    for line in lines:
        match line:
            case str():
                text = line
            case [piece, count]:
                text = piece * count
            case _:
                text = json.dumps(line) + "\n"
        sys.stdout.write(text.replace("ID", name))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
