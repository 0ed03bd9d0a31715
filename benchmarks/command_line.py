"""The command line of a script that measures rows: which of them, how large, and where the figures go."""

import argparse
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping

import anyio
from table import LeftOut, Row, circumstances, in_short, save, save_document, text_of


def main(description: str, measurements: Mapping[str, Callable[[bool], Awaitable[list[Row]]]]) -> None:
    """Measure what the command line asks for, and print one table."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"what to measure; all if none: {', '.join(measurements)}"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how fast it is")
    parser.add_argument("--json", metavar="FILE", help="save the figures there")
    parser.add_argument("--markdown", metavar="FILE", help="save the table there, as a document")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.rows if name not in measurements]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    about = circumstances()
    print("\n".join(f"{name}: {value}" for name, value in about.items()) + "\n", flush=True)
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    failed: list[str] = []
    names = arguments.rows or list(measurements)
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name} ...", file=sys.stderr, flush=True)
        begun = time.monotonic()
        measured: list[Row] = []
        try:
            measured = anyio.run(measurements[name], arguments.quick)
        except LeftOut as reason:
            left_out[name] = str(reason)
        except Exception as error:
            # What others have measured by now is not thrown away.
            traceback.print_exception(error)
            failed.append(name)
        rows += measured
        print(f"{time.monotonic() - begun:4.0f} s", file=sys.stderr)
        for row in measured:
            print(f"       {row.what}: {in_short(row)}", file=sys.stderr, flush=True)
    print(text_of(rows))
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    if arguments.json:
        save(arguments.json, about, rows, left_out)
    if arguments.markdown:
        save_document(arguments.markdown, about, rows, left_out)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
