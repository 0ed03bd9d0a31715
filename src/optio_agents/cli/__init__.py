"""The command line `optio`: one module for each command, loaded when it is called."""

from .app import main

__all__ = ["main"]
