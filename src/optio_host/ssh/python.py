"""Starting a Python program on the far side that lies only here: its text goes ahead of its input."""

from importlib.resources import files
from shlex import quote


def python_program(name: str) -> tuple[str, bytes]:
    """A script for `Link.channel` that becomes `farside/NAME.py`, and what must be written to it first."""
    source = (files("optio_host") / "farside" / f"{name}.py").read_bytes()
    # Unbuffered reads of exactly its length: a buffer would swallow the first of its input.
    read = f"""import os
text = b""
while len(text) < {len(source)}:
    text += os.read(0, {len(source)} - len(text)) or exit(1)
exec(compile(text, "optio-{name}", "exec"))"""
    # python3 changes this variable for itself; a program that starts others wants it as it was.
    return f'exec python3 -c {quote(read)} "${{LC_CTYPE-}}"', source
