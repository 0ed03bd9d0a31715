"""Where things are kept, and whether a directory is safe to keep secrets in."""

import grp
import os
import pwd
import re
import stat
from contextlib import suppress

from .errors import FileRefused, HostError
from .types import SSHConfig

_PROCESS_ID = re.compile(r"[A-Za-z0-9._-]+")


def task_dir(*, ssh: SSHConfig | None, process_id: str, consumer_name: str) -> str:
    """The directory of one task, on its host.

    Here: `$<CONSUMER>_TASK_ROOT/<id>`, else `$XDG_DATA_HOME/<consumer>/<id>`, else `~/.local/share/<consumer>/<id>`.
    On a remote host: `$<CONSUMER>_REMOTE_TASK_ROOT/<id>`, else `/tmp/<consumer>/<id>`. Published.

    Parameters:
        ssh: the remote host, or None for this machine.
        process_id: letters, digits, ".", "_" and "-"; ValueError for anything else, and for "." and "..".
        consumer_name: who keeps it; upper-cased and with "_" for "-" it is the prefix of the variables.
    """
    if not _PROCESS_ID.fullmatch(process_id) or process_id in (".", ".."):
        raise ValueError(f"process id {process_id!r}: only letters, digits, '.', '_' and '-', and not '.' or '..'")
    prefix = consumer_name.upper().replace("-", "_")
    variable = f"{prefix}_TASK_ROOT" if ssh is None else f"{prefix}_REMOTE_TASK_ROOT"
    if root := os.environ.get(variable):
        return os.path.join(root, process_id)
    if ssh is not None:
        return os.path.join("/tmp", consumer_name, process_id)
    return os.path.join(_xdg("XDG_DATA_HOME", ".local/share"), consumer_name, process_id)


def state_dir() -> str:
    """Where durable sessions and the default journal are: `$XDG_STATE_HOME/optio`, else `~/.local/state/optio`."""
    return os.path.join(_xdg("XDG_STATE_HOME", ".local/state"), "optio")


def ensure_private_dir(path: str) -> None:
    """Create a directory that is only ours, or see that it is. Blocking.

    What is missing on the way is created with mode 0700. The directory itself must be a real one of this user, and is
    set to 0700 if others may read it. Every directory above it must belong to this user or root and be writable by
    nobody else, or have the sticky bit as /tmp has; a link among them must belong to them too, and so must the
    directories that it leads through.

    Raises FileRefused when someone else could exchange the directory or what is in it, with what to do; HostError when
    it cannot be created.
    """
    if not os.path.isabs(path):
        raise ValueError(f"{path!r}: an absolute path is needed")
    above, name = os.path.split(os.path.normpath(path))
    try:
        directory = os.path.join(_walk(above), name)
        _mkdir(directory)
        seen = os.lstat(directory)
        if not stat.S_ISDIR(seen.st_mode):
            raise FileRefused(path, "must be a directory of this user and is something else; move it away")
        if seen.st_uid != os.geteuid():
            raise FileRefused(path, f"belongs to user {seen.st_uid}, not to this one; choose another place")
        if _others_may_write(seen):
            raise FileRefused(path, "can be written by others, who may have put things there; look, then chmod 700 it")
        if stat.S_IMODE(seen.st_mode) & 0o077:
            os.chmod(directory, 0o700)
    except OSError as error:
        raise HostError(f"{path}: cannot be made a private directory: {error.strerror} ({error.filename})") from error


def _walk(directory: str) -> str:
    """Check every directory on the way, create what is missing, and resolve the links; the resolved path."""
    current = "/"
    segments = directory.split("/")
    links = 0
    _check_above(current, os.lstat(current))
    while segments:
        segment = segments.pop(0)
        if segment in ("", "."):
            continue
        if segment == "..":
            current = os.path.dirname(current)
            continue
        entered = os.path.join(current, segment)
        _mkdir(entered)
        seen = os.lstat(entered)
        _check_above(entered, seen)
        if not stat.S_ISLNK(seen.st_mode):
            current = entered
            continue
        links += 1
        # The limit of Linux, path_resolution(7).
        if links > 40:
            raise FileRefused(directory, "its symbolic links lead in a circle")
        target = os.readlink(entered)
        segments = target.split("/") + segments
        current = "/" if target.startswith("/") else current
    return current


def _check_above(path: str, seen: os.stat_result) -> None:
    if seen.st_uid not in (0, os.geteuid()):
        raise FileRefused(
            path, f"belongs to user {seen.st_uid}, who could exchange what is below; choose another place"
        )
    if stat.S_ISLNK(seen.st_mode):
        return
    if not stat.S_ISDIR(seen.st_mode):
        raise FileRefused(path, "is no directory, and one is needed here; move it away or choose another place")
    if _others_may_write(seen) and not seen.st_mode & stat.S_ISVTX:
        raise FileRefused(path, "can be written by others, who could exchange what is below; chmod go-w it")


def _others_may_write(seen: os.stat_result) -> bool:
    mode = stat.S_IMODE(seen.st_mode)
    return bool(mode & 0o002) or bool(mode & 0o020 and not _is_private_group(seen.st_gid))


def _is_private_group(group: int) -> bool:
    """Whether a group is the user's alone: many systems give each user one, and a umask that lets it write."""
    if group == 0:
        return True
    try:
        user, members = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and members.gr_name == user.pw_name and set(members.gr_mem) <= {user.pw_name}


def _mkdir(path: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _xdg(variable: str, default: str) -> str:
    """A base directory of the XDG specification, which says to ignore a value that is not absolute."""
    value = os.environ.get(variable, "")
    return value if os.path.isabs(value) else os.path.join(os.path.expanduser("~"), default)
