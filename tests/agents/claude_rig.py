"""The real Claude Code program against a model API of our own, in a home of its own.

The program comes with the wheel `claude-agent-sdk`; its Python code is not used. How to run it so that it reaches
nothing but that API is written down in docs of its maker and was measured with version 2.1.329.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_api import ModelApi, Script, model_api

from left_out import require_module

ARGUMENTS = (
    "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose",
    "--permission-prompt-tool", "stdio",
)  # fmt: skip


@dataclass(frozen=True)
class ClaudeRig:
    """Where the program is, and what it needs to run alone.

    Attributes:
        program: path of the program.
        api: the model API that it talks to.
        home: its home directory.
        cwd: an empty directory to work in.
    """

    program: str
    api: ModelApi
    home: Path
    cwd: Path

    @property
    def env(self) -> dict[str, str]:
        """Its whole environment, but PATH."""
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "CLAUDE_CODE_TMPDIR": str(self.home / "tmp"),
            "LANG": "C.UTF-8",
            "ANTHROPIC_BASE_URL": self.api.url,
            "ANTHROPIC_API_KEY": "test",
            "CLAUDE_CODE_MAX_RETRIES": "0",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1",
        }


def claude_program() -> str:
    """Path of the program; the calling test is left out where it is not installed."""
    require_module("claude_agent_sdk")
    found = importlib.util.find_spec("claude_agent_sdk")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent / "_bundled" / "claude")


@contextmanager
def claude_rig(base: Path, script: Script) -> Iterator[ClaudeRig]:
    """The program, with a home and a working directory below `base`, and a model that answers from the script."""
    program = claude_program()
    home, cwd = base / "home", base / "work"
    for directory in (home, home / "tmp", cwd):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    with model_api(script) as api:
        yield ClaudeRig(program, api, home, cwd)
