"""`optio pull`: bring back what a program has changed in its directory."""

import json
import os
import posixpath
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from optio_host.paths import state_dir

from ..journal import SessionRecord, Store
from ..pull import PULLED, Pulled, changed_files, has_own_directory, pull
from .brief import print_json
from .carry_out import carry_out
from .copying import shown_progress
from .hosts import host_of
from .options import json_option, session_argument, store_option
from .visible import visible


@click.command()
@session_argument
@click.argument("path", required=False)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to put it here. Default: ./optio-<id>-work/",
)
@click.option("--overwrite", is_flag=True, help="With --into: replace also files that were changed here, too.")
@click.option("--dry-run", is_flag=True, help="Only say which files.")
@json_option
@store_option
def command(
    session: str,
    path: str | None,
    into: Path | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    store_url: str | None,
) -> None:
    """Bring back the files that a program has changed in its directory since `optio run --upload` copied it there.

    PATH is a file or directory in there: then all of it comes. Without an upload everything comes that is in the
    directory of the session; one that runs in a directory of yours needs a PATH.

    Files land in a directory of their own. With --into they land in yours: a file there that was changed after the
    session began is left alone and named, unless you say --overwrite. Nothing is deleted here, and what a program has
    removed is only named.

    Exit status: 1 when something was left alone or left out.

    \b
    Examples:
      optio pull 3f --dry-run
      optio pull 3f --into .
      optio pull 3f build/report.html
    """
    if path is not None and (path.startswith("/") or ".." in path.split("/")):
        raise click.UsageError(f"{path}: a path in the session's directory is relative, without '..'")

    here = os.path.abspath(into) if into else ""

    async def bring(store: Store) -> tuple[SessionRecord, str, Pulled, tuple[str, ...]]:
        record = (await store.snapshot(await store.resolve(session))).record
        if path is None and not has_own_directory(record):
            raise click.UsageError(
                f"session {record.id} runs in {visible(record.cwd)}, which is not its own; name a PATH in it"
            )
        target = here or os.path.join(os.getcwd(), f"optio-{record.id}-work")
        async with host_of(record) as host:
            if dry_run:
                return record, target, Pulled(), await changed_files(host, record, path)
            with shown_progress(f"copying from {visible(record.host)}") as progress:
                came = await pull(
                    host,
                    record,
                    path,
                    target,
                    may_replace=overwrite or into is None,
                    brought=_brought_before(record, target),
                    progress_cb=progress,
                )
            _note_brought(record, target, came.brought)
            return record, target, came, ()

    record, target, came, would = carry_out(bring, store_url)
    if as_json:
        print_json(_in_json(record, target, came, would))
    else:
        _print(record, target, came, would, dry_run)
    if came.kept or came.left_out:
        raise SystemExit(1)


def _note_of(record: SessionRecord) -> str:
    # Not in `taskdir`: of an imported session it is whatever its author wanted.
    return os.path.join(state_dir(), record.id, PULLED) if re.fullmatch(r"[A-Za-z0-9_-]+", record.id) else ""


def _brought_before(record: SessionRecord, target: str) -> dict[str, str]:
    """What earlier pulls have put there, as far as that is known: SHA-256 by relative path."""
    try:
        with open(_note_of(record), encoding="ascii") as file:
            found = json.load(file)
        return {str(name): str(digest) for name, digest in found[target].items()}
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return {}


def _note_brought(record: SessionRecord, target: str, brought: Mapping[str, str]) -> None:
    note = _note_of(record)
    if not brought or not note:
        return
    noted = {**_brought_before(record, target), **brought}
    # Without it the next pull leaves these files alone, and says so.
    with suppress(OSError):
        os.makedirs(os.path.dirname(note), mode=0o700, exist_ok=True)
        with open(note, "w", encoding="ascii") as file:
            json.dump({target: noted}, file)


def _in_json(record: SessionRecord, target: str, came: Pulled, would: tuple[str, ...]) -> dict[str, object]:
    return {
        "id": record.id,
        "from": record.cwd,
        "into": target,
        "would_look_at": list(would),
        "new": list(came.new),
        "replaced": list(came.replaced),
        "unchanged": came.unchanged,
        "kept": list(came.kept),
        "left_out": [{"path": name, "reason": why} for name, why in came.left_out],
        "removed": list(came.removed),
    }


def _print(record: SessionRecord, target: str, came: Pulled, would: tuple[str, ...], dry_run: bool) -> None:
    shown = visible(os.path.relpath(target))
    for name in would:
        click.echo(visible(posixpath.join(shown, name)))
    for word, names in (("new", came.new), ("replaced", came.replaced)):
        for name in names:
            click.echo(f"{word:9} {visible(posixpath.join(shown, name))}")
    for name in came.kept:
        click.echo(f"{'kept':9} {visible(name)}: it was changed here, too; --overwrite replaces it", err=True)
    for name, why in came.left_out:
        click.echo(f"{'left out':9} {visible(name)}: {visible(why)}", err=True)
    for name in came.removed:
        click.echo(f"{'removed':9} {visible(name)}: it is not there any more; here it stays")
    if not (would or came.new or came.replaced or came.kept or came.left_out):
        same = f"; {came.unchanged} are here as they are there" if came.unchanged else ""
        click.echo(f"nothing has changed{same}" if not dry_run else "nothing has changed")
