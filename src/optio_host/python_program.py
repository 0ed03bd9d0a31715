"""Starting a Python program of `farside/` on a host where it does not lie: its text goes ahead of its input."""

from importlib.resources import files
from shlex import quote


def python_program(name: str, python: str = "python3") -> tuple[str, bytes]:
    """A script for /bin/sh that becomes `farside/NAME.py`, and what must be written to it first.

    Parameters:
        name: of the program.
        python: shell words that start Python.
    """
    source = (files("optio_host") / "farside" / f"{name}.py").read_bytes()
    # Unbuffered reads of exactly its length: a buffer would swallow the first of its input.
    read = f"""import os
text = b""
while len(text) < {len(source)}:
    text += os.read(0, {len(source)} - len(text)) or exit(1)
exec(compile(text, "optio-{name}", "exec"))"""
    # python3 changes this variable for itself; a program that starts others wants it as it was.
    return f'exec {python} -c {quote(read)} "${{LC_CTYPE-}}"', source
