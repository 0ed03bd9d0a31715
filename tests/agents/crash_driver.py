"""A driver that dies where it is told to: a program, for the tests of crashes.

    crash_driver.py ROOT SCENARIO [--leave] [--renew SECONDS] [--die SEAM N]

It starts the session of a scenario below ROOT, or adopts it when it is there, drives it to its end, and prints what the
journal then holds as one JSON object. With `--die` it kills itself with SIGKILL at the n-th time that it comes to this
seam. OPTIO_TEST_SSHD (port:user:key:known_hosts) names an sshd to reach this machine by. Below ROOT, `seams` has every
seam that any driver came to, `handled` every call of the handler, `runs` a line for each time that the program was
started.
"""

import argparse
import json
import os
import re
import signal
import sys
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import anyio

from optio_agents import drive, seams
from optio_agents.delivery import DeliverableHook
from optio_agents.errors import SessionRefused, SessionUnknown
from optio_agents.hooks import SessionHookContext
from optio_agents.journal import Deliverable, Store, open_store
from optio_agents.session import Session
from optio_agents.task_directory import log_path
from optio_host.job_errors import JobGone
from optio_host.local.host import LocalHost
from optio_host.ssh.host import RemoteHost
from optio_host.types import KnownHosts, SSHConfig

sys.path.insert(0, str(Path(__file__).parent.parent))

from ssh_rig import HereOverSsh

SESSION = "5e55104"

_BEGIN = """
echo run >>"$RUNS"
mkdir "$OPTIO_DELIVERABLES/sub"
log() { printf "$@" >>"$OPTIO_LOG"; }
hand() { echo "content of $1" >"$OPTIO_DELIVERABLES/$1"; log 'DELIVERABLE: %s\\n' "$1"; }
answered() { until [ "$(wc -l <"$OPTIO_REPLIES")" -ge "$1" ]; do sleep 0.02; done; }
"""

# Every line is written when the answer to the one before is there, so no run depends on how fast a driver is.
PROGRAMS = {
    "work": _BEGIN + """
        log 'STATUS: 10%% begun\\nno entry\\nSTATUS: 20%% more\\n'
        hand one.txt; answered 1
        log 'ATTENTION: look here\\nbad \\377 byte\\n'
        hand sub/two.txt; answered 2
        log 'DELIVERABLE: ../optio.log\\n'; answered 3
        log 'STATUS: 90%% nearly\\nDONE: all of it\\n'
    """,
    "cancel": _BEGIN + """
        log 'STATUS: up\\n'
        sleep 300 & sleep 300
    """,
    "leftovers": _BEGIN + """
        sleep 300 &
        log 'STATUS: up\\nERROR: it broke\\n'
        exit 3
    """,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("scenario", choices=PROGRAMS)
    parser.add_argument("--leave", action="store_true", help="let go of the session at once")
    parser.add_argument("--renew", type=float, help="seconds between two renewals of the lease")
    parser.add_argument("--die", nargs=2, metavar=("SEAM", "N"))
    arguments = parser.parse_args()
    root: Path = arguments.root.resolve()
    if arguments.renew is not None:
        setattr(drive, "RENEW_EVERY", arguments.renew)  # noqa: B010 - mypy: it is not the module's own
    die_at(root, *(arguments.die or ("", 0)))
    print(json.dumps(anyio.run(go_on, root, arguments.scenario, arguments.leave)))


def die_at(root: Path, seam: str, number: int | str) -> None:
    """Note down every seam; be gone at the n-th of this name."""
    counted: Counter[str] = Counter()
    noted = os.open(root / "seams", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def reached(name: str) -> None:
        counted[name] += 1
        os.write(noted, f"{name}\n".encode())
        if name == seam and counted[name] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    seams.reached = reached


Machine = LocalHost | RemoteHost


def machine(root: Path) -> Machine:
    """This machine; by the sshd that the environment names, if it does."""
    server = os.environ.get("OPTIO_TEST_SSHD")
    if server is None:
        return LocalHost(str(root))
    port, user, key, known_hosts = server.split(":")
    checked = KnownHosts((known_hosts,))
    config = SSHConfig("127.0.0.1", user, key, int(port), host_key=checked, config_files=(), agent=False, jump=())
    return HereOverSsh(config, str(root))


async def go_on(root: Path, scenario: str, leave: bool) -> dict[str, object]:
    """Start or adopt the session, see it to its end, and say what its journal holds."""
    async with open_store(f"sqlite://{root}/journal.db") as store:

        async def handle(hook_ctx: SessionHookContext, deliverable: Deliverable) -> str:
            with (root / "handled").open("a") as handled:
                call = [deliverable.name, same_place(hook_ctx.event_id), hook_ctx.redelivered]
                handled.write(json.dumps(call) + "\n")
            return f"noted {deliverable.name}"

        host = machine(root)
        try:
            session = await start_or_adopt(root, scenario, host, store, handle)
        except SessionUnknown:
            return {"unknown": True}
        except (SessionRefused, JobGone):
            pass  # it has ended
        else:
            if scenario == "cancel":
                await cancel(host, store, session)
            if leave:
                await session.leave("told to")
            await session.wait()
        await host.disconnect()
        return await held(root, store)


async def start_or_adopt(root: Path, scenario: str, host: Machine, store: Store, handle: DeliverableHook) -> Session:
    begun = root / "begun"
    if begun.exists():
        return await Session.adopt(host, store, SESSION, on_deliverable=handle)
    begun.touch()
    return await Session.start(
        host,
        store,
        ["sh", "-c", PROGRAMS[scenario]],
        cwd=str(root),
        deliverables=str(root / "out"),
        state_dir=str(root / "state"),
        env={"RUNS": str(root / "runs")},
        session_id=SESSION,
        on_deliverable=handle,
    )


async def cancel(host: Machine, store: Store, session: Session) -> None:
    """What `optio cancel` does, once the program has said something; again is the same command."""
    async with aclosing(host.follow(log_path(session.record))) as lines:
        async for _ in lines:
            break
    await store.put(SESSION, "cancel", {"reason": "enough"}, command_id="the-cancel")


async def held(root: Path, store: Store) -> dict[str, object]:
    """Everything that must be the same however often the driver died; places that differ from run to run are hidden."""
    snapshot = await store.snapshot(SESSION)
    events = (await store.events(SESSION)).events
    deliverables = [(each.name, each.path, same_place(each.event_id), each.sha256) for each in snapshot.deliverables]
    outcome = snapshot.record.outcome
    found = {
        "state": snapshot.record.state,
        "outcome": outcome.model_dump() if outcome else None,
        "seqs": [each.seq for each in events],
        "events": [(each.source, each.type, each.data, same_place(each.event_id)) for each in events],
        "outbox": {
            name: "".join(each.data.decode() for each in outbox.entries) for name, outbox in snapshot.outbox.items()
        },
        "deliverables": deliverables,
        "owner": snapshot.record.driver is not None,
        "receipts": [each.receipt.status if each.receipt else None for each in snapshot.commands],
    }
    hidden: dict[str, object] = json.loads(
        re.sub(r"\w+ \(pid \d+\)", "PROCESS", json.dumps(found).replace(str(root), "ROOT"))
    )
    return hidden


def same_place(event_id: str) -> str:
    """An id of an event of the log without the number of the file; "" for one that is drawn by lot."""
    stream, _, place = event_id.partition("-")
    return place.split("-", 1)[1] if stream == "log" else ""


if __name__ == "__main__":
    main()
