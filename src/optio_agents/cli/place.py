"""Where a program of `optio run` is to run, and whether it is there: looked at before anything is changed."""

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optio_host.job_shell import arguments, ask, assignments, farside
from optio_host.job_state import path_from_hex
from optio_host.open import address_of

from .visible import visible

if TYPE_CHECKING:
    from optio_host.open import AnyHost

_LOOK = r"""
unset CDPATH
found() { [ -f "$1" ] && [ -x "$1" ] && answer found && exit 0; }
# look DIRECTORY PROGRAM: what "" means is the home directory; a relative directory is below it.
look() {
    cd / && { [ -z "${HOME-}" ] || cd -- "$HOME" 2>/dev/null; }
    if [ -n "$1" ]; then cd -- "$1" 2>/dev/null || refuse nowhere; fi
    answer directory "$(hex "$(pwd && echo .)")"
    case $2 in
        '') exit 0 ;;
        */*) found "$2" ;;
        *)
            IFS=:
            set -f
            for _each in $_path; do found "${_each:-.}/$2"; done ;;
    esac
    answer missing
}
"""


async def find_place(
    host: "AnyHost",
    url: str,
    program: str | None,
    *,
    directory: str | None,
    scratch: bool,
    upload: Path | None,
    path: str | None,
) -> str | None:
    """The absolute directory on the host to run in; None for one of the session's own, which is not there yet.

    Parameters:
        host: where to look.
        url: what the person calls it.
        program: the first word of the command; None: it is looked for elsewhere.
        directory: where they want it to run; on another host than this machine relative to the home directory there.
        scratch: they want a directory of the session's own.
        upload: what is copied into that.
        path: the PATH that the program gets; None is that of the login.

    Raises click.UsageError when the directory or the program is not there, HostError when the host does not say.
    """
    local = address_of(url).ssh is None
    if local:
        directory = posixpath.normpath(posixpath.join(os.getcwd(), directory or ""))
    own = scratch or upload is not None or not directory
    on = "" if local else f" on {visible(url)}"
    if own and program and "/" in program and not program.startswith("/"):
        # It is not there yet: it comes with what is copied, or it cannot be there.
        if upload is not None and (upload / program).is_file() and os.access(upload / program, os.X_OK):
            return None
        raise _missing(program, str(upload) if upload else f"an empty directory{on}")
    script = farside("act") + _LOOK + (assignments(path=path) if path is not None else "_path=${PATH-}\n")
    script += arguments("look", "" if own else directory or "", program or "")
    for key, value in await ask(host, script, what=f"looking for {program or 'a directory'}{on}", rundir=""):
        match key:
            case "nowhere":
                raise click.UsageError(f"--in {visible(directory or '')}: there is no such directory{on}")
            case "directory":
                found = path_from_hex(value).removesuffix("\n.")
            case "missing":
                assert program
                raise _missing(program, (found if "/" in program else "PATH") + on)
    return None if own else directory if local else posixpath.normpath(found)


def _missing(program: str, where: str) -> click.UsageError:
    return click.UsageError(f"{program}: there is no such program in {where} (or it is not executable)")
