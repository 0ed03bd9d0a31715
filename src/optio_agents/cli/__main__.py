"""`python -m optio_agents.cli` is the command `optio`."""

from .app import main

main()
