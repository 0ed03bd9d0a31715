"""What the real Claude Code program does over stdin and stdout. Everything else is built on these facts."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from claude_rig import ARGUMENTS, ClaudeRig, claude_rig
from model_api import Cut, Fail, Hold, Say, bash

Message = dict[str, Any]


class Dialogue:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def say(self, text: str) -> None:
        self.write({"type": "user", "message": {"role": "user", "content": text}})

    def write(self, message: Message) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def until(self, kind: str) -> list[Message]:
        """What it says up to the first message of this type."""
        assert self._process.stdout
        heard = []
        for line in self._process.stdout:
            heard.append(json.loads(line))
            if heard[-1]["type"] == kind:
                return heard
        raise AssertionError(f"it ended without {kind}: {heard}")

    def end(self) -> int:
        assert self._process.stdin
        self._process.stdin.close()
        return self._process.wait(20)


@contextmanager
def dialogue(rig: ClaudeRig) -> Iterator[Dialogue]:
    process = subprocess.Popen(
        [rig.program, *ARGUMENTS],
        cwd=rig.cwd,
        env={"PATH": os.environ["PATH"], **rig.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Dialogue(process)
        finally:
            process.kill()


def test_a_prompt_is_answered_with_text_and_a_result(tmp_path: Path) -> None:
    with claude_rig(tmp_path, {"hello": [Say("Hello.", thinking="Hm.")]}) as rig, dialogue(rig) as claude:
        claude.say("SCENARIO:hello")
        result = claude.until("result")[-1]
        assert (result["result"], result["is_error"]) == ("Hello.", False)
        assert claude.end() == 0


def test_a_tool_is_asked_for_and_runs_once_it_is_allowed(tmp_path: Path) -> None:
    script = {"write": [bash("echo hi > out.txt"), Say("I wrote out.txt.")]}
    with claude_rig(tmp_path, script) as rig, dialogue(rig) as claude:
        claude.say("SCENARIO:write")
        asked = claude.until("control_request")[-1]
        assert asked["request"]["subtype"] == "can_use_tool"
        assert asked["request"]["input"]["command"] == "echo hi > out.txt"
        assert not (rig.cwd / "out.txt").exists()
        response = {"subtype": "success", "request_id": asked["request_id"], "response": {"behavior": "allow"}}
        claude.write({"type": "control_response", "response": response})
        result = claude.until("result")[-1]
        assert result["result"] == "I wrote out.txt."
        assert (rig.cwd / "out.txt").read_text() == "hi\n"
        assert claude.end() == 0


def test_an_error_of_the_api_is_a_result_that_says_success_and_is_an_error(tmp_path: Path) -> None:
    kinds = {
        400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 500: "api_error",
        529: "overloaded_error",
    }  # fmt: skip
    script = {f"e{status}": [Fail(status, kind)] for status, kind in kinds.items()}
    with claude_rig(tmp_path, script) as rig, dialogue(rig) as claude:
        for status in kinds:
            claude.say(f"SCENARIO:e{status}")
            result = claude.until("result")[-1]
            assert (result["subtype"], result["is_error"]) == ("success", True)
            assert result["terminal_reason"] == "api_error"
            assert result["api_error_status"] == status


def test_a_stream_that_breaks_off_is_asked_for_again_without_a_stream(tmp_path: Path) -> None:
    with claude_rig(tmp_path, {"cut": [Cut("half of a")]}) as rig, dialogue(rig) as claude:
        claude.say("SCENARIO:cut")
        assert claude.until("result")[-1]["result"] == "half of a"
        assert [each.get("stream") for each in rig.api.requests] == [True, False]


def test_an_interrupt_ends_a_turn_that_is_still_being_written(tmp_path: Path) -> None:
    with claude_rig(tmp_path, {"hold": [Hold("I am writing")]}) as rig, dialogue(rig) as claude:
        claude.say("SCENARIO:hold")
        rig.api.until_held()
        claude.write({"type": "control_request", "request_id": "1", "request": {"subtype": "interrupt"}})
        assert claude.until("result")[-1]["terminal_reason"] == "aborted_streaming"
