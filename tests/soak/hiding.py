"""Children that do everything to outlive whoever started them, each with a mark: seconds that nobody else sleeps.

Only the standard library. One that clears its environment keeps a file of its parent open: what closes those, too,
cannot be found, and that it is found is not promised.
"""

from pathlib import Path

CHILDREN = {
    "setsid": ("setsid sleep {mark} &", 1),
    "nohup": ("nohup sleep {mark} >/dev/null 2>&1 &", 1),
    "ignores TERM": ("(trap '' TERM; sleep {mark}; sleep {mark}; sleep {mark}) &", 1),
    "clears its environment": ("env -i setsid sleep {mark} &", 1),
    "grandchildren": ("(setsid sh -c '(sleep {mark}; sleep {mark}) & sleep {mark}; sleep {mark}') &", 2),
    "double fork": ("(nohup setsid sh -c 'sleep {mark} & exit' &)", 1),
}
"""By name, what starts them in sh, and how many of them sleep."""


def script(mark: str, *names: str) -> tuple[str, int]:
    """What starts the children of these names, or of all, and how many processes sleep then."""
    chosen = [CHILDREN[name] for name in names or CHILDREN]
    return "\n".join(start.format(mark=mark) for start, _ in chosen), sum(count for _, count in chosen)


def is_alive(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def command_line(pid: int) -> str:
    """Its command line; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def sleeping(mark: str) -> list[str]:
    """The processes with this mark, whatever their environment says."""
    return [
        f"pid {each.name}: {line}"
        for each in Path("/proc").glob("[0-9]*")
        if (line := command_line(int(each.name))).startswith("sleep") and mark in line and is_alive(int(each.name))
    ]
