"""Lines of optio.log, from the file to where they are dispatched, and with ours into the journal on the disk."""

import sys
import tempfile
from pathlib import Path
from statistics import median

import published
from command_line import main
from own_process import in_its_own_process
from table import Row, TimesAsMuch


async def lines(quick: bool) -> list[Row]:
    """A durable session, and the published driver, which commits nothing; its like of ours stands in the remark."""
    count, rounds = (2_000, 1) if quick else (100_000, 3)
    rates: dict[str, list[float]] = {"ours": [], "like": [], "peer": []}
    cpu: list[float] = []
    with tempfile.TemporaryDirectory(prefix="optio-bench-") as name:
        directory = Path(name)
        log = directory / "lines"
        log.write_text("STATUS: 42% compiling the third of seven modules\n" * count)
        for turn in range(rounds):
            task = {"lines": str(log), "count": count, "directory": str(directory / f"ours{turn}")}
            ours = in_its_own_process(sys.executable, "log_ours.py", task)
            rates["ours"].append(count / ours["seconds"])
            cpu.append(1e6 * ours["cpu"] / count)
            pythons = {"like": sys.executable} if quick else {
                "like": sys.executable, "peer": published.python(published.AGENTS)
            }  # fmt: skip
            for side, python in pythons.items():
                task = {"lines": str(log), "count": count, "taskdir": str(directory / f"{side}{turn}")}
                measured = in_its_own_process(python, "log_peer.py", task)
                rates[side].append(count / measured["seconds"])
    note = f"processor {median(cpu):.1f} us each; our driver without a journal {median(rates['like']):,.0f}"
    peer = median(rates["peer"]) if rates["peer"] else None
    what, peer_is = "optio.log, file to committed", f"{published.AGENTS}, no journal"
    return [Row(what, "lines/s", median(rates["ours"]), peer, peer_is, TimesAsMuch(5), note)]


ROWS = {"log": lines}


if __name__ == "__main__":
    main("Lines of a log beside the published optio-agents.", ROWS)
