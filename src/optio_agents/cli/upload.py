"""Copying a directory to a host for `optio run --upload`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..filling import Fill
from ..pull import mark_uploaded
from .copying import shown_progress
from .visible import size, visible

if TYPE_CHECKING:
    from optio_host.open import AnyHost


def uploading(host: "AnyHost", directory: Path) -> Fill:
    """What copies a directory of this machine into the one of a session, and notes down what it was."""
    source = os.path.abspath(directory)

    async def fill(cwd: str) -> None:
        with shown_progress(f"copying {visible(str(directory))}") as progress:
            copy = await host.put_tree(source, cwd, progress_cb=progress)
        await mark_uploaded(host, cwd)
        click.echo(f"copied {copy.copied} files ({size(copy.size)}) to {visible(cwd)}", err=True)
        for name, why in copy.left_out:
            click.echo(f"  left out: {visible(name)}: {visible(why)}", err=True)

    return fill
