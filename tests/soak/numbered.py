"""The lines that a scripted program writes to its log, by number, and what the journal must say of each. Pure.

Only the standard library: the program that runs on the host imports this, too.
"""

import random

NEWS = ("status", "line", "attention", "deliverable", "deliverable.refused", "notice", "done", "error")
"""Types of the events that lines of the log become."""

EVERY = 12
"""Each so-many-th line announces a deliverable."""


def line(seed: int, number: int) -> bytes:
    """Line `number` of the log, without its end."""
    dice = random.Random(f"{seed}:{number}")
    if number % EVERY == EVERY - 1:
        return f"DELIVERABLE: {name_of(number)}".encode()
    match dice.randrange(10):
        case 0:
            return f"ATTENTION: look at line {number}.".encode()
        case 1:
            return b"no entry, number %d, with a bad \xff byte" % number
        case 2:
            return f"no entry, number {number}: {'x' * dice.randrange(20_000)}".encode()
        case 3:
            return f"no entry, number {number}: caf\u00e9 \U0001f41f {{".encode()
        case _:
            return f"STATUS: {number % 100}% line {number}.".encode()


def said(written: bytes) -> tuple[str, str]:
    """The type of the event that a line becomes, and what it says; a deliverable may also be refused."""
    text = written.decode("utf-8", "replace")
    keyword, colon, rest = text.partition(": ")
    match keyword:
        case "STATUS" if colon:
            return "status", rest.partition("% ")[2]
        case "ATTENTION" | "DELIVERABLE" if colon:
            return keyword.lower(), rest
        case "DONE" | "ERROR":
            return keyword.lower(), rest
        case _:
            return "line", text


def name_of(number: int) -> str:
    """What the deliverable is called that line `number` announces; one of them is not there."""
    return "missing" if number % (5 * EVERY) == EVERY - 1 and number > EVERY else f"file-{number}"


def content(seed: int, number: int) -> bytes:
    """What is in it."""
    dice = random.Random(f"{seed}:{number}:content")
    return dice.randbytes(dice.choice((0, 100, 20_000, 300_000)))
