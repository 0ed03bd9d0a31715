"""Fuzz every reader of the outside, or some: `make fuzz [SECONDS=60] [RUNS=1000000] [TARGET="log_lines exports"]`.

Each target runs in a process of its own, guided by the coverage of src (atheris). It begins with the committed corpus
and with what earlier runs have found, in `.fuzz/`. What fails is written to `.fuzz/found/`, and how to see it again is
said. `--keep` puts small inputs that reached something new into the committed corpus.
"""

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from fuzz import target  # noqa: E402

KEPT = ROOT / ".fuzz"
FOUND = KEPT / "found"
LONGEST = 600
"""Bytes of an input: what a target makes of more is no different, and slower."""
MOST_KEPT = 40
"""Inputs of a target that are committed because each reached something new, at most: the smallest."""
PROGRESS = re.compile(r"#(\d+)\s+\S+\s+cov: (\d+) ft: \d+ corp: (\d+)/\S+ .*?exec/s: (\d+)")
FINDING = re.compile(r"Test unit written to (\S+)")


@dataclass
class Result:
    """What came of one target."""

    name: str
    executions: int = 0
    coverage: int = 0
    corpus: int = 0
    finding: str = ""
    said: str = ""


def fuzz(name: str, seconds: int, runs: int) -> Result:
    """Run one target for so long or with so many inputs, whichever is less, or until something is found."""
    result = Result(name)
    directory = unpacked(name)
    FOUND.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, HERE / "one.py", name, f"-max_total_time={seconds}", f"-runs={runs}",
        f"-artifact_prefix={FOUND}/{name}-", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=2048", directory,
    ]  # fmt: skip
    told = time.monotonic()
    tail: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if seen := PROGRESS.match(line):
                result.executions, result.coverage, result.corpus = map(int, seen.groups()[:3])
                if time.monotonic() - told > 10:
                    told = time.monotonic()
                    print(f"  {name}: {result.executions:,} executions, {result.coverage} covered", flush=True)
            elif line.startswith("Done "):
                result.executions = int(line.split()[1])
            elif seen := FINDING.search(line):
                result.finding = seen[1]
            elif not line.startswith(("INFO", "#", "WARNING")):
                tail = [*tail[-30:], line]
    if run.returncode != 0:
        result.finding = result.finding or f"it ended with status {run.returncode}"
        result.said = "".join(tail)
    return result


def unpacked(name: str) -> Path:
    """The directory in which libFuzzer keeps the corpus of a target, with the committed inputs in it."""
    directory = KEPT / "corpus" / name
    directory.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(target.corpus(name)):
        (directory / f"committed-{number}").write_bytes(each.data)
    return directory


def keep(name: str) -> int:
    """Commit the smallest inputs of those that reached something new when they were found; what was found stays."""
    kept = sorted({file.read_bytes() for file in unpacked(name).iterdir()}, key=len)[:MOST_KEPT]
    found = [each for each in target.corpus(name) if each.name]
    target.write_corpus(name, [*found, *(target.Input("", data) for data in kept)])
    return len(kept)


def table(results: list[Result]) -> str:
    """What came of all of them."""
    rows = [("target", "executions", "covered", "corpus", "finding")]
    rows += [(r.name, f"{r.executions:,}", str(r.coverage), str(r.corpus), r.finding or "none") for r in results]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    """The status to exit with: 1 when something was found."""
    target.load()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"which: {', '.join(target.TARGETS)}; none: all")
    parser.add_argument("--seconds", type=int, default=60, help="how long for each, at most")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs for each, at most; -1: no limit")
    parser.add_argument("--keep", action="store_true", help="do not fuzz; write the committed corpus anew")
    chosen = parser.parse_args()
    names = chosen.targets or list(target.TARGETS)
    if unknown := set(names) - set(target.TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if chosen.keep:
        for name in names:
            print(f"{name}: {keep(name)} inputs")
        return 0
    results = []
    for name in names:
        print(f"{name}, for {chosen.seconds} s", flush=True)
        results.append(fuzz(name, chosen.seconds, chosen.runs))
        print(f"  {name}: {results[-1].executions:,} executions, {results[-1].finding or 'nothing found'}", flush=True)
    print(table(results))
    for result in results:
        if result.finding:
            print(f"\n{result.name}: {result.finding}\n{result.said}")
            if Path(result.finding).is_file():
                print(f"to see it again: {sys.executable} {HERE / 'again.py'} {result.name} {result.finding}")
    return 1 if any(result.finding for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
