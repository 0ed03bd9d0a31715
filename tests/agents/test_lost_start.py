"""A start whose answer was lost: the program may run, and nobody may say that it does not."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session
from optio_host.errors import HostError
from optio_host.host import OUTPUT_LIMIT, RunResult
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]


class CutHost(LocalHost):
    """A host whose link is cut when the command that starts a run, which comes by stdin, was sent."""

    def __init__(self, taskdir: str, *, arrives: bool) -> None:
        super().__init__(taskdir)
        self._arrives = arrives

    async def run_command(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        input: bytes | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> RunResult:
        if input is not None and not self._arrives:
            raise HostError("the link was cut")
        result = await super().run_command(
            command, cwd=cwd, env=env, input=input, timeout=timeout, output_limit=output_limit
        )
        if input is not None:
            raise HostError("the link was cut")
        return result


@pytest.mark.parametrize("arrives", [True, False])
def test_the_next_driver_finds_out_whether_the_program_was_started(run: Run, tmp_path: Path, arrives: bool) -> None:
    async def body() -> None:
        store = MemoryStore()
        with pytest.raises(HostError, match="the link was cut"):
            await Session.start(
                CutHost(str(tmp_path / "unused"), arrives=arrives),
                store,
                ["sh", "-c", 'echo ran >> ran; echo "DONE: ran" >> "$OPTIO_LOG"'],
                cwd=str(tmp_path),
                deliverables=str(tmp_path / "out"),
                state_dir=str(tmp_path / "state"),
            )
        [record] = await store.sessions()
        assert (record.state, record.driver) == ("starting", None)
        host = LocalHost(str(tmp_path / "unused"))
        if arrives:
            outcome = await (await Session.adopt(host, store, record.id)).wait()
            assert outcome is not None
            assert (outcome.outcome, outcome.summary) == ("done", "ran")
        else:
            with pytest.raises(HostError, match="not started"):
                await Session.adopt(host, store, record.id)
            [ended] = await store.sessions()
            assert ended.outcome is not None
            assert (ended.state, ended.outcome.outcome) == ("ended", "failed")
        assert (tmp_path / "ran").exists() is arrives

    run(body)
