"""The published optio-host as a peer, from the package index, in an environment of its own, used as it is."""

import subprocess
import sys
from pathlib import Path

PACKAGE = "optio-host==0.2.7"


def python() -> str:
    """The Python of that environment, which is made if need be, inside that of this Python."""
    directory = Path(sys.prefix) / "peers"
    installed = directory / PACKAGE
    if not installed.exists():
        print(f"installing {PACKAGE} into {directory}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        install = [directory / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
        subprocess.run(install, check=True, capture_output=True)
        installed.touch()
    return str(directory / "bin/python")
