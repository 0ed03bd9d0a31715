"""What a host costs and how fast it is, beside what people use otherwise, in one table.

    python benchmarks/hosts.py [ROW ...] [--quick] [--json FILE]

Every row is measured together with its peer, by turns, against an sshd of its own on loopback: OpenSSH with one shared
connection, scp, rsync, `ssh far tail -F`; locally the published optio-host, which is installed into an environment of
its own. See README.md beside this file.
"""

import argparse
import sys
import time
import traceback

import anyio
import host_commands
import host_copies
import host_cost
import host_following
from table import LeftOut, Row, circumstances, save, text_of

ROWS = {
    "commands": host_commands.one_at_a_time,
    "slow-login": host_commands.slow_login,
    "commands-8": host_commands.eight_at_a_time,
    "put": host_copies.put,
    "get": host_copies.get,
    "tree": host_copies.tree,
    "follow": host_following.over_ssh,
    "follow-local": host_cost.local,
    "follow-many": host_cost.many_over_ssh,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and cost of hosts beside OpenSSH, scp, rsync and tail.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"what to measure; all if none: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how fast it is")
    parser.add_argument("--json", metavar="FILE", help="save the figures there")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.rows if name not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    about = circumstances()
    print("\n".join(f"{name}: {value}" for name, value in about.items()) + "\n", flush=True)
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    failed: list[str] = []
    for name in arguments.rows or ROWS:
        begun = time.monotonic()
        try:
            rows += anyio.run(ROWS[name], arguments.quick)
        except LeftOut as reason:
            left_out[name] = str(reason)
        except Exception as error:
            # What others have measured by now is not thrown away.
            traceback.print_exception(error)
            failed.append(name)
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(text_of(rows))
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    if arguments.json:
        save(arguments.json, about, rows, left_out)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
