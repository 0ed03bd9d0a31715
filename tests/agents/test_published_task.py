"""A task type that was written against the published packages runs on this machine as it is."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from published_task import CountWords

from optio_agents.context import StandaloneContext
from optio_agents.protocol.session import _SessionFailed

Run = Callable[[Callable[[], Awaitable[object]]], None]


class TaskContext(StandaloneContext):
    process_id = "count-1"


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CountWords:
    monkeypatch.setenv("COUNT_WORDS_TASK_ROOT", str(tmp_path / "tasks"))
    monkeypatch.setenv("SECRET_TOKEN", "not for the agent")
    (tmp_path / "words.txt").write_text("a few longer words\n")
    (tmp_path / "results").mkdir()
    return CountWords(tmp_path / "words.txt", tmp_path / "results")


def test_it_runs_from_the_first_hook_to_the_last(run: Run, task: CountWords, tmp_path: Path) -> None:
    ctx = TaskContext()

    async def body() -> None:
        await task.execute(ctx)
        assert (tmp_path / "results" / "count.json").read_text() == '{"words": 4, "longest": "longer"}'
        assert task.scores == [("score", {"value": 7})]
        assert task.output == ["reading"]
        assert task.saved_log.endswith("DONE: counted\n")
        assert (0, "counting") in ctx.progress
        assert (50, "System: deliverable count.json: name the longest word, too") in ctx.progress
        assert [message for _, message in ctx.progress if message == "Deliverable: count.json"] != []
        assert not (tmp_path / "tasks" / "count-1").exists()

    run(body)


def test_its_failure_is_its_own_exception(run: Run, task: CountWords) -> None:
    task.words.write_text("one two three four")

    async def body() -> None:
        async def hold(host: object, hook_ctx: object) -> None:
            raise RuntimeError("no agent here")

        task.body = hold  # type: ignore[method-assign, assignment]
        with pytest.raises(RuntimeError, match="no agent here"):
            await task.execute(TaskContext())

    run(body)


def test_an_agent_that_crashes_fails_the_task(run: Run, task: CountWords, monkeypatch: pytest.MonkeyPatch) -> None:
    import published_task

    monkeypatch.setattr(published_task, "AGENT", "raise SystemExit(0)")

    async def body() -> None:
        with pytest.raises(_SessionFailed, match="no DONE came within 2 s"):
            await task.execute(TaskContext())

    run(body)
