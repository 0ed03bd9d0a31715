"""What it costs to begin: importing the package, and asking the command line for help. Each time a new process."""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import published
from command_line import main
from table import AtMost, Row, TimesAtMost, by_turns

IMPORT = """
import json, sys, time
sys.path.insert(0, {here!r})
from own_memory import resident_megabytes
begun = time.perf_counter()
{what}
print(json.dumps([1000 * (time.perf_counter() - begun), resident_megabytes()]))
"""


async def imports(quick: bool) -> list[Row]:
    """The first import in a new process; memory is that of the whole process, Python included."""
    rounds = 1 if quick else 15
    memory: dict[str, list[float]] = {}

    def importing(python: str, what: str) -> float:
        code = IMPORT.format(here=str(Path(__file__).parent), what=what)
        ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        took, resident = json.loads(ran.stdout)
        memory.setdefault(what, []).append(resident)
        return float(took)

    async def ours() -> float:
        importing(sys.executable, "")
        return importing(sys.executable, "import optio_agents")

    async def everything() -> float:
        return importing(sys.executable, "from optio_agents import *; import optio_host; from optio_host import *")

    async def peer() -> float:
        return importing(published.python(published.CLAUDE), "import claude_agent_sdk")

    sides = [ours, everything] if quick else [ours, everything, peer]
    await by_turns(1, sides)  # compiled, and in the cache of the disk
    memory.clear()
    took = await by_turns(rounds, sides)
    resident = [median(each) for each in memory.values()]
    nothing, lean, whole = resident[:3]
    peer_is = published.CLAUDE
    with_all = f"with every public name loaded {took[1]:.0f}"
    return [
        Row(
            "import optio_agents, time", "ms", took[0], None if quick else took[2], peer_is,
            TimesAtMost(1 / 6), with_all,
        ),
        Row(
            "import optio_agents, memory", "MiB", lean, None if quick else resident[3], peer_is,
            AtMost(30), f"RSS of the process; with every public name loaded {whole:.1f}; Python alone {nothing:.1f}",
        ),
    ]  # fmt: skip


async def command_help(quick: bool) -> list[Row]:
    """From the start of the process to its end."""
    rounds = 1 if quick else 20

    def running(*command: str) -> float:
        begun = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=60)
        return 1000 * (time.perf_counter() - begun)

    async def ours() -> float:
        return running(str(Path(sys.executable).with_name("optio")), "--help")

    async def nothing() -> float:
        return running(sys.executable, "-c", "")

    await by_turns(1, [ours, nothing])
    took, idle = await by_turns(rounds, [ours, nothing])
    return [Row("optio --help", "ms", took, None, "", AtMost(250), f"Python that does nothing {idle:.0f}")]


ROWS = {"import": imports, "help": command_help}


if __name__ == "__main__":
    main("What it costs to begin.", ROWS)
