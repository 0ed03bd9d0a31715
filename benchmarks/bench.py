"""Every figure of speed and cost that Optio promises, in one table.

    python benchmarks/bench.py [ROW ...] [--quick] [--json FILE] [--markdown FILE]

The scripts that hold the rows can be run alone, too; see README.md beside this file.
"""

import conversation
import hosts
import log
import start_cost
import store
from command_line import main

ROWS = {
    **hosts.ROWS,
    "log": log.lines,
    **conversation.ROWS,
    **store.ROWS,
    **start_cost.ROWS,
}


if __name__ == "__main__":
    main("Every figure of speed and cost, ours beside what people use otherwise.", ROWS)
