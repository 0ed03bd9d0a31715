"""Fuzz one target until a time is over or something is found. Run by `run.py`: one.py TARGET [options of libFuzzer]."""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

with atheris.instrument_imports(include=["optio_host", "optio_agents"], enable_loader_override=False):
    from fuzz import target

    target.load()

atheris.Setup([sys.argv[0], *sys.argv[2:]], target.TARGETS[sys.argv[1]])
atheris.Fuzz()
