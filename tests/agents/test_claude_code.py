"""The description of a Claude Code: what it becomes, and what of it is refused before anything is started."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from shlex import join

import pytest
from claude_rig import ClaudeRig, claude_rig
from model_api import Say

from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.errors import AgentRefused
from optio_host.local.host import LocalHost

ID = "c9a6ce04-3f66-46e4-a107-88dc2b7a33ec"
Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fork": True}, "resume=ID"),
        ({"session_id": "xyz"}, "UUID"),
        ({"session_id": ID, "resume": ID}, "fork=True"),
        ({"permission_mode": "nonsense"}, "acceptEdits"),
        ({"max_turns": 0}, "max_turns"),
        ({"max_cost_usd": float("nan")}, "max_cost_usd"),
        ({"extra_arguments": ("--output-format=text",)}, "--output-format"),
        ({"model": "a\0b"}, "NUL"),
    ],
)
def test_what_never_works_is_refused_and_says_what_to_do(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClaudeCode(**options)  # type: ignore[arg-type]


def test_a_program_that_is_not_there_is_refused_before_it_is_started(run: Run, taskdir: str) -> None:
    async def body() -> None:
        with pytest.raises(AgentRefused, match="no-such-claude"):
            await ClaudeCode(executable="no-such-claude").check(LocalHost(taskdir), "/")
        with pytest.raises(AgentRefused, match="no directory"):
            await ClaudeCode(executable="sh").check(LocalHost(taskdir), taskdir)

    run(body)


BYPASSING = [
    ClaudeCode(executable="sh", permission_mode="bypassPermissions"),
    ClaudeCode(executable="sh", extra_arguments=("--dangerously-skip-permissions",)),
    ClaudeCode(executable="sh", extra_arguments=("--permission-mode=bypassPermissions",)),
]


@pytest.mark.parametrize("agent", BYPASSING)
def test_root_is_told_that_permissions_cannot_be_bypassed(run: Run, tmp_path: Path, agent: ClaudeCode) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "id").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    host = LocalHost(str(tmp_path / "task"))

    async def body() -> None:
        with pytest.raises(AgentRefused, match="IS_SANDBOX"):
            await replace(agent, env=path).check(host, "/")
        await replace(agent, env={**path, "IS_SANDBOX": "1"}).check(host, "/")
        await ClaudeCode(executable="sh", permission_mode="acceptEdits", env=path).check(host, "/")

    run(body)


def answer(rig: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> Callable[[], Awaitable[object]]:
    async def body() -> None:
        await agent.check(host, str(rig.cwd))
        said = b'{"type":"user","message":{"role":"user","content":"SCENARIO:hello"}}\n'
        ran = await host.run_command(
            join(agent.command()), cwd=str(rig.cwd), env=agent.environment(), input=said, timeout=30
        )
        assert ran.stderr == ""
        assert '"result":"Hello."' in ran.stdout
        assert f'"session_id":"{agent.session_id}"' in ran.stdout
        assert '"permissionMode":"plan"' in ran.stdout

    return body


def test_the_real_program_takes_everything_that_can_be_described(run: Run, tmp_path: Path) -> None:
    """All flags at once; then a fork of that session."""
    with claude_rig(tmp_path, {"hello": [Say("Hello.")]}) as rig:
        host = LocalHost(str(tmp_path))
        agent = ClaudeCode(
            executable=rig.program,
            model="sonnet",
            permission_mode="plan",
            allowed_tools=("Edit", "Bash(git log *)"),
            disallowed_tools=("WebFetch", "WebSearch"),
            system_prompt="Be terse; 'quoted' \"twice\"\nand on two lines.",
            append_system_prompt="--be kind",
            env=rig.env,
            session_id=ID,
            max_turns=3,
            max_cost_usd=1.5,
            partial_messages=True,
            extra_arguments=("--strict-mcp-config",),
        )
        run(answer(rig, agent, host))
        assert rig.api.requests[0]["system"][-1]["text"].count("--be kind") == 1
        assert not {"WebFetch", "WebSearch"} & {tool["name"] for tool in rig.api.requests[0]["tools"]}
        forked = ClaudeCode(
            executable=rig.program,
            permission_mode="plan",
            env=rig.env,
            resume=ID,
            fork=True,
            session_id=ID.replace("c9", "c8"),
        )
        run(answer(rig, forked, host))
        assert "Hello." in str(rig.api.requests[-1]["messages"])
