"""How a command begins on the far side: a constant for the login shell, everything else by stdin. Pure.

So nothing of it, and no secret in it, stands in a list of processes, and no login shell misreads it. A marker says
where what rc files print has ended.
"""

from collections.abc import Mapping
from shlex import quote

from ..job_shell import exports

BOOTSTRAP = "exec /bin/sh -c 'IFS= read -r l && eval \"$l\"'"
"""The command of every channel. POSIX shells, csh and fish all take it for the same thing."""


def opening(marker: str, tag: str, script: bytes, *, cwd: str | None, env: Mapping[str, str], stdin: bool) -> bytes:
    """What is written first on a channel: a line that the bootstrap evaluates, and behind it the lines it reads.

    Raises ValueError for a name that a shell cannot export, and for NUL.
    """
    enter = f"cd -- {quote(cwd)} 2>/dev/null || {{ echo '{marker}nodir'; exit 1; }}\n" if cwd is not None else ""
    begin = (
        "_p=; { read -r _p </proc/$$/stat; } 2>/dev/null\n"
        f"echo \"{marker}$$ $_p\" && echo '{marker}' >&2 || exit 1\n"
        f"OPTIO_RUN=${{OPTIO_RUN:+$OPTIO_RUN:}}{tag}; export OPTIO_RUN\n"
    )
    lines = (enter + begin + exports(env)).encode(errors="surrogateescape")
    lines += (b"" if stdin else b"exec </dev/null\n") + script + b"\n"
    if b"\0" in lines:
        raise ValueError("a command, a directory or a value of the environment contains a NUL")
    # Lines are counted, not bytes: `read` is the one thing in every sh that takes no byte too many from a pipe.
    # IFS begins as blank, tab and line end in every sh, which makes a line end without starting a process.
    count = lines.count(b"\n")
    read = (
        f"_e=${{IFS#??}};_s=;_n={count};while [ $_n -gt 0 ];do IFS= read -r _l||exit 1;_s=$_s$_l$_e;_n=$((_n-1));done"
    )
    return read.encode() + b';eval "$_s"\n' + lines
