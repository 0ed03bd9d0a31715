"""Every figure of speed and cost that Optio promises, in one table.

    python benchmarks/bench.py [ROW ...] [--quick] [--json FILE] [--markdown FILE]

The scripts that hold the rows can be run alone, too; see README.md beside this file.
"""

import adopt
import conversation
import hosts
import journal
import log
import start_cost
from command_line import main

ROWS = {
    **hosts.ROWS,
    "log": log.lines,
    **conversation.ROWS,
    "journal": journal.appends,
    "adopt": adopt.long_history,
    **start_cost.ROWS,
}


if __name__ == "__main__":
    main("Every figure of speed and cost, ours beside what people use otherwise.", ROWS)
