"""Which paths may be announced as deliverables, as far as names can tell.

These checks look at this machine's file system. They are right for a host that is this machine; for any other, and
against a file that changes between the check and the reading, the host checks again on the file it has opened.
"""

import os


def validate_deliverable_path(path: str, workdir: str) -> str:
    """The resolved absolute path of an announced file.

    Parameters:
        path: absolute, or relative to the workdir. It need not exist.
        workdir: absolute path of the directory that holds `deliverables`.

    Raises ValueError when it is empty, holds a NUL, or leads out of the workdir once every symbolic link and `..` is
    resolved.
    """
    if not path:
        raise ValueError("the path is empty")
    if "\0" in path:
        raise ValueError("the path holds a NUL character")
    resolved = os.path.realpath(os.path.join(workdir, path))
    if not _is_below(resolved, os.path.realpath(workdir), itself=True):
        raise ValueError(f"the path {path!r} leads outside {workdir}")
    return resolved


def relativize_deliverable_path(absolute_path: str, workdir: str) -> str:
    """The name of a file below `<workdir>/deliverables`, as it is shown and stored.

    Parameters:
        absolute_path: what `validate_deliverable_path` returned.
        workdir: as there.

    Raises ValueError when it is not strictly below that directory.
    """
    directory = os.path.realpath(os.path.join(workdir, "deliverables"))
    resolved = os.path.realpath(absolute_path)
    if not _is_below(resolved, directory, itself=False):
        raise ValueError(f"the path {absolute_path!r} is not below {os.path.join(workdir, 'deliverables')}")
    return os.path.relpath(resolved, directory)


def _is_below(path: str, directory: str, *, itself: bool) -> bool:
    if path == directory:
        return itself
    return path.startswith(directory.rstrip("/") + "/")
