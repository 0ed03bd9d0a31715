"""Memory of the process that asks. Loads nothing that a measured process would not have."""

from pathlib import Path


def resident_megabytes() -> float:
    """What is there now."""
    return _megabytes("VmRSS:")


def peak_megabytes() -> float:
    """The most that was there since the process began."""
    return _megabytes("VmHWM:")


def _megabytes(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024
