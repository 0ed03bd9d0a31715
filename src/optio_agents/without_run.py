"""Ending a session whose directory was removed from its host: all that can still be done for it."""

import posixpath

from optio_host.clock import Clock
from optio_host.host import RunsCommands
from optio_host.job_index import JobEntry, jobs, stop_orphan
from optio_host.job_state import Unknown

from .drive import TERMINATE_GRACE, unless_gone
from .events import Notice, SessionEnded
from .journal import OutcomeDocument, SessionRecord
from .journal_writer import JournalWriter, Said


async def end_without_run(host: RunsCommands, writer: JournalWriter, clock: Clock) -> None:
    """End what still runs of it, found by the index of the host, and write down the end. Raises HostError, StoreError.

    Parameters:
        host: where it ran.
        writer: its journal.
        clock: time, for tests.
    """
    record = writer.record
    said: list[Said] = []
    for entry in await jobs(host):
        if entry.processes and _is_run_of(record, entry):
            named = ", ".join(f"{each.name} (pid {each.pid})" for each in entry.processes)
            said.append(Said(Notice(f"its directory was removed and it still ran; stopped: {named}")))
            said += unless_gone(await stop_orphan(host, entry, grace=TERMINATE_GRACE, clock=clock))
    reason = "its directory is gone from the host, and with it all that could tell how it ended"
    outcome = record.outcome or OutcomeDocument(outcome="lost", reason=reason)
    if record.state == "starting" and not said:
        outcome = OutcomeDocument(outcome="failed", reason="the driver died before the program was started")
    event = SessionEnded(outcome.outcome, outcome.reason or None, outcome.summary or None, outcome.exit)
    await writer.commit(*said, Said(event), record={"outcome": outcome, "state": "ended"})


def _is_run_of(record: SessionRecord, entry: JobEntry) -> bool:
    # Only the end is compared: the index has the directory with symbolic links resolved, and they may be gone, too.
    end = posixpath.relpath(record.rundir, posixpath.dirname(record.taskdir))
    return entry.state == Unknown("directory gone") and entry.rundir.endswith(f"/{end}")
