"""Has every `optio` of a soak write down what it commits: a line with generation, process and last event for each.

Python imports this at its start where OPTIO_SOAK_COMMITS is set and this directory is on PYTHONPATH.
"""

import os
import sys
import traceback


def _note_commits(path: str) -> None:
    from optio_agents.journal_writer import JournalWriter

    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    commit = JournalWriter.commit

    async def commit_and_note(writer, *said, **more):  # type: ignore[no-untyped-def]
        await commit(writer, *said, **more)
        lease = writer.lease
        os.write(notes, f"{lease.session} {lease.generation} {os.getpid()} {writer._last_seq}\n".encode())

    JournalWriter.commit = commit_and_note  # type: ignore[method-assign]

    def note_what_nobody_caught(kind, error, trace):  # type: ignore[no-untyped-def]
        # The driver's own log may be on a disk that is full.
        with open(f"{path}-uncaught", "a") as file:
            file.write("".join(traceback.format_exception(kind, error, trace)) + f"in {sys.orig_argv}\n")
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = note_what_nobody_caught


if "OPTIO_SOAK_COMMITS" in os.environ and any(each.endswith(("/optio", "optio_agents.cli")) for each in sys.orig_argv):
    _note_commits(os.environ["OPTIO_SOAK_COMMITS"])
