"""What scripts on a host answer: noise of its login around it, and words that the programs there can write."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from fuzz.target import Choices, target
from optio_agents.permissions.resolving import resolved
from optio_host import checkup, job_index
from optio_host.errors import HostError
from optio_host.host import RunResult
from optio_host.job import Job
from optio_host.job_errors import InputConflict
from optio_host.job_shell import MARK, ask
from optio_host.job_state import Ended, Owner, Running, RunningUnsupervised, judge, read_process, read_snapshot
from optio_host.outcome import Exited, Lost, Outcome, Signalled

T = TypeVar("T")
KEYS = (
    "dir", "owner", "pid", "supervisor", "id", "boot", "main-start", "supervisor-start", "go", "eof", "stdin", "exit",
    "forged", "gone", "lost", "failed", "conflict", "appended", "closed", "process", "looked", "job", "path", "kept",
    "sent", "started", "tool", "clock", "system", "umask", "state", "inotify-instances", "inotify-used",
)  # fmt: skip
WORDS = (
    "2f746d70", "zz", "7", "-1", "999999999999999999999", "exited 0", "exited -1", "signalled 9", "reason no-driver",
    "left 7 123 7 sh", "boot-1", "12 12 55 boot-1", "13 66 boot-1", "55", "66", "store s 1", "everywhere", "", " ", "٣",
    "void 0", "unstarted 125", "void", "exited ٣",
)  # fmt: skip


class Said:
    """A host whose every command says the same."""

    def __init__(self, stdout: str, outcome: Outcome) -> None:
        code = outcome.code if isinstance(outcome, Exited) else -1
        self._result = RunResult(stdout, "", code, outcome)

    async def run_command(self, *args: object, **options: object) -> RunResult:
        return self._result


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        returned: T = end.value
        return returned
    raise AssertionError("it waits")


def answers(choices: Choices) -> str:
    """Lines of answers, of noise, and of both."""
    lines = []
    while choices.left:
        match choices.below(4):
            case 0:
                lines.append(choices.text(60))
            case 1:
                lines.append(f"{MARK}{choices.pick(KEYS)} {choices.text(40)}")
            case _:
                lines.append(f"{MARK}{choices.pick(KEYS)} {choices.pick(WORDS)}")
    return "\n".join(lines)


@target
def run_answers(data: bytes) -> None:
    """Whatever comes back, it is an answer or an error of ours, and nothing is taken for an end that is none."""
    choices = Choices(data)
    outcome: Outcome = choices.pick((Exited(0), Exited(0), Exited(0), Exited(1), Signalled(9), Lost("cut")))
    call = choices.below(5)
    host = Said(answers(choices), outcome)
    owner = Owner("store", "session", 1)
    try:
        if call == 0:
            found = at_once(ask(host, "look", what="look", rundir="/run/1"))
            assert outcome == Exited(0)
            assert found
            assert not {"lost", "failed", "conflict"} & {key for key, _ in found}
            seen = read_snapshot(found)
            state = judge(seen)
            if isinstance(state, Running | RunningUnsupervised):
                assert state.pid >= 0
            if isinstance(state, Ended):
                assert any(key == "exit" for key, _ in found)
                assert not any(key == "forged" for key, _ in found)
            for _, value in found:
                process = read_process(value)
                assert process is None or process.pid >= 0
        elif call == 1:
            at_once(job_index.jobs(host))
        elif call == 2:
            paths = at_once(resolved(host, ["/a", "/b"]))
            assert set(paths) == {"/a", "/b"}
        elif call == 3:
            job = at_once(Job.adopt(host, "/run/1", owner))  # type: ignore[arg-type]
            assert at_once(job.append(0, b"four")) == 4
        else:
            at_once(job_index.forget(host, "run"))
    except InputConflict as error:
        assert error.offset >= 0
    except HostError:
        pass


@target
def host_facts(data: bytes) -> None:
    """Whatever a host says of itself, each thing is judged, and said in one line."""
    choices = Choices(data)
    said = []
    for _ in range(choices.below(20)):
        said.append((choices.pick(KEYS), choices.pick(WORDS) if choices.flag() else choices.text(30)))
    for finding in checkup.judge(said, 10.0, 11.0):
        assert finding.verdict in ("ok", "slow", "fails")
