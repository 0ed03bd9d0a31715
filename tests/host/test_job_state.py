"""What the files and processes of a run say about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optio_host.job_state import (
    Ended,
    Ending,
    Identity,
    JobState,
    Process,
    Running,
    RunningUnsupervised,
    Snapshot,
    Unknown,
    judge,
    outcome_of,
    read_process,
    read_snapshot,
)
from optio_host.outcome import Exited, Lost, Signalled

PROGRAM = Identity(10, "500", "boot")
SUPERVISOR = Identity(9, "400", "boot")
END = Ended(Exited(3))


@pytest.mark.parametrize(
    ("program", "supervisor", "end", "state"),
    [
        ("500", "400", None, Running(10)),
        ("500", None, None, RunningUnsupervised(10)),
        ("500", "401", None, RunningUnsupervised(10)),
        (None, "400", None, Ending()),
        ("501", "400", None, Ending()),
        (None, None, None, Unknown("supervisor killed")),
        ("501", None, None, Unknown("pid reused")),
        (None, "400", END, END),
        (None, None, END, END),
        ("501", None, END, END),
        ("500", "400", END, Running(10)),
        ("500", None, END, RunningUnsupervised(10)),
    ],
)
def test_running_ending_ended_and_lost_are_told_apart(
    program: str | None, supervisor: str | None, end: Ended | None, state: JobState
) -> None:
    seen = Snapshot(
        boot="boot", main=PROGRAM, main_start=program, supervisor=SUPERVISOR, supervisor_start=supervisor, end=end
    )
    assert judge(seen) == state


def test_the_same_pid_and_start_after_a_reboot_is_another_process() -> None:
    seen = Snapshot(
        boot="later", main=PROGRAM, main_start="500", supervisor=SUPERVISOR, supervisor_start="400", begun=True
    )
    assert judge(seen) == Unknown("reboot")


def test_without_a_pid_file_the_program_never_ran() -> None:
    assert judge(Snapshot(boot="boot")) == Unknown("never started")
    assert judge(Snapshot(boot="boot", supervisor=SUPERVISOR, begun=True)) == Unknown("never started")
    starting = Snapshot(boot="boot", supervisor=SUPERVISOR, supervisor_start="400", begun=True)
    assert judge(starting) == Unknown("starting")


def test_a_directory_that_is_gone_says_nothing_else() -> None:
    assert judge(Snapshot(gone=True, end=END)) == Unknown("directory gone")


def test_an_unknown_end_is_lost_with_the_reason_in_words() -> None:
    assert outcome_of(END) == Exited(3)
    assert outcome_of(Unknown("reboot")) == Lost("the machine was restarted while the program ran")


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        (["exited 143", "reason none", "end"], Ended(Exited(143))),
        (["signalled 9", "reason spool-limit", "end"], Ended(Signalled(9), "spool-limit")),
        (
            ["exited 0", "reason none", "left 7 55 6 my tool", "end"],
            Ended(Exited(0), "none", (Process(7, "55", 6, "my tool"),)),
        ),
        (["void 0"], Ended(Lost("it was stopped before the program was started"))),
        (["exited"], None),
        (["exited -1"], None),
        (["exited ²"], None),
        (["exited " + "9" * 5000], None),
        (["finished 0"], None),
        ([], None),
    ],
)
def test_an_exit_file_is_read_or_is_not_there(lines: list[str], end: Ended | None) -> None:
    assert read_snapshot([("exit", line) for line in lines]).end == end


@given(
    st.lists(
        st.tuples(st.sampled_from(["owner", "pid", "supervisor", "exit", "stdin", "id", "boot", "process"]), st.text())
    )
)
def test_files_that_the_program_scribbled_on_raise_nothing(answers: list[tuple[str, str]]) -> None:
    judge(read_snapshot(answers))
    for _, value in answers:
        read_process(value)
