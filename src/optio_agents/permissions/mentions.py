"""Which paths a text names, and what they are below a directory. Pure."""

import re
from posixpath import normpath

MOST = 100
"""Places in one text at which a path may begin; the rest is not looked at."""

LONGEST = 4096
"""Characters of a path: what is longer names no file (PATH_MAX of Linux), as a line of base64 does not."""

# A path may begin at the start of a text, behind anything that does not belong to one, and, where a letter stands for
# an option, in the middle of a word: -f/etc/passwd, -I../include.
_BEGINNING = re.compile(r"(?:^|(?<=[^A-Za-z0-9_./-]))(?=[^\s=:,;'\"()<>|&])|(?<![./])(?=\.?\.?/)")


def absolute(path: str, cwd: str) -> str | None:
    """A path as seen from a directory, dot-segments and all; None when nobody can say what a program takes it for.

    Parameters:
        path: as it was given.
        cwd: an absolute directory.
    """
    if not path or not cwd.startswith("/") or path.startswith("~") or path != path.strip() or not path.isprintable():
        return None
    return path if path.startswith("/") else f"{cwd.rstrip('/')}/{path}"


def plainly(path: str) -> str:
    """An absolute path without dot-segments, as if there were no symbolic link on the way."""
    return normpath("/" + path.lstrip("/"))


def mentioned(text: str, cwd: str, roots: tuple[str, ...]) -> tuple[str, ...]:
    """What in a text may be meant as a path with a slash in it: absolute paths, too many rather than too few.

    Parameters:
        text: a word of a command, or any other text.
        cwd: what relative paths begin at.
        roots: absolute directories that are looked for everywhere in the text.
    """
    starts = {found.start(): None for _, found in zip(range(MOST), _BEGINNING.finditer(text), strict=False)}
    for root in roots:
        at = text.find(root) if len(root) > 1 else -1
        if at >= 0:
            starts[at] = None
    found: dict[str, None] = {}
    for start in starts:
        path = re.split(r"[\s'\"()<>|&;]", text[start : start + LONGEST + 1], maxsplit=1)[0]
        if len(path) <= LONGEST and ("/" in path or path == ".."):
            whole = absolute(path, cwd)
            if whole is not None:
                found[whole] = None
    return tuple(found)
