"""Appends to the spools of runs: the plain case of `append` in act.sh, without a new process for each.

Stands on the host as text given to python3 (3.6 or newer, standard library only). It reads requests from stdin: a line
of words, and behind it as many bytes as it says; directory, owner and spool are in hexadecimal.

    NUMBER SIZE OFFSET DIRECTORY RUN OWNER SPOOL

To each it writes a line: "NUMBER appended", or "NUMBER declined" where anything is not plain: bytes that are there
already, another owner, another command at work, a full disk. Then act.sh does it, or says why not.

It ends when its stdin does.
"""

import fcntl
import os
import stat
from contextlib import suppress


def append(directory: bytes, run: bytes, owner: bytes, offset: int, spool: bytes, data: bytes) -> bool:
    """Put bytes at the end of a spool if its owner asks, the end is where that one thinks, and nobody else is at it."""
    opened = []  # type: list[int]

    def at(name: bytes, flags: int) -> int:
        # In this very directory, should another one get its name. O_NONBLOCK: nothing that someone put here blocks.
        opened.append(os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=opened[0]))
        return opened[-1]

    try:
        opened.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        fcntl.flock(at(b"lock", os.O_WRONLY | os.O_CREAT | os.O_APPEND), fcntl.LOCK_EX | fcntl.LOCK_NB)
        said = [os.read(at(name, os.O_RDONLY), 4096).split(b"\n")[0] for name in (b"id", b"owner")]
        if said != [run, owner]:
            return False
        at(b"seen", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)  # a driver was here
        if spool == b"stdin" and exists(b"stdin.eof", opened[0]):
            return False
        file = at(spool, os.O_WRONLY)
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode) or state.st_size != offset:
            return False
        # At its place, never in append mode: whatever happens, these bytes stand nowhere else.
        while data:
            written = os.pwrite(file, data, offset)
            data, offset = data[written:], offset + written
        if spool == b"stdin":
            with suppress(OSError):  # there is no feeder, or it was told often enough; a lost poke does no harm
                os.write(at(b"poke-" + run, os.O_WRONLY), b"\n")
        return True
    except OSError:
        return False
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def exists(name: bytes, directory: int) -> bool:
    """Whether anything has that name there."""
    try:
        os.stat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def main() -> None:
    """Until stdin ends."""
    os.umask(0o077)
    os.write(1, b"ready\n")
    pending = b""
    while True:
        chunk = os.read(0, 64 * 1024)
        if not chunk:
            return
        pending += chunk
        while True:
            line, end, rest = pending.partition(b"\n")
            if not end:
                break
            words = line.split(b" ")
            size = int(words[1])
            if (
                len(rest) < size
            ):  # taken whole before anything is locked: a link that is cut in the middle changes nothing
                break
            directory, owner, spool = (bytes.fromhex(word.decode()) for word in (words[3], words[5], words[6]))
            done = append(directory, words[4], owner, int(words[2]), spool, rest[:size])
            os.write(1, b"%s %s\n" % (words[0], b"appended" if done else b"declined"))
            pending = rest[size:]


if __name__ == "__main__":
    main()
