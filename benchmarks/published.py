"""Published packages as peers, from the package index, in an environment of their own, used as they are."""

import subprocess
import sys
from pathlib import Path

HOST = "optio-host==0.2.7"
CLAUDE = "claude-agent-sdk==0.2.187"
AGENTS = "optio-agents==0.3.0"
AIOSQLITE = "aiosqlite==0.22.1"


def python(package: str) -> str:
    """The Python of that environment, inside that of this Python; what it lacks is installed."""
    directory = Path(sys.prefix) / "peers"
    installed = directory / package
    if not installed.exists():
        print(f"installing {package} into {directory}", file=sys.stderr)
        if not (directory / "bin/python").exists():
            subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        install = [directory / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        subprocess.run(install, check=True, capture_output=True)
        installed.touch()
    return str(directory / "bin/python")
