"""Give a target the bytes of a file once more, without atheris: again.py TARGET FILE."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz import target

target.load()
target.TARGETS[sys.argv[1]](Path(sys.argv[2]).read_bytes())
