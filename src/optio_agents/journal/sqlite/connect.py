"""The file: how it is made and opened, and what its errors mean to a person."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from ...errors import StoreBusy, StoreError, StoreFull, StoreTooNew

BUSY_SECONDS = 10.0
"""How long to wait for other processes that hold the file."""
SCHEMA_VERSION = 1
_APPLICATION_ID = 0x4F505449  # "OPTI": tells our files from other people's databases

# Streams, questions and the like are small next to events. Head and lease of a session change all the time and are
# kept apart from its record, so that a commit rewrites tens of bytes. A removed session keeps its head: readers in
# other processes see by its change number that something happened, and then find no record.
_SCHEMA = """
CREATE TABLE changes (latest INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
CREATE TABLE sessions (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state TEXT, created REAL, record TEXT
);
CREATE TABLE heads (
  key INTEGER PRIMARY KEY, change INTEGER NOT NULL, updated REAL NOT NULL,
  first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, last_event_id TEXT NOT NULL
);
CREATE TABLE leases (
  key INTEGER PRIMARY KEY, generation INTEGER NOT NULL, driver TEXT, renewed REAL NOT NULL, ttl REAL NOT NULL
);
CREATE TABLE events (
  key INTEGER NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL, time REAL NOT NULL,
  source TEXT NOT NULL, event_id TEXT NOT NULL, PRIMARY KEY (key, seq)
) WITHOUT ROWID;
CREATE TABLE cursors (
  key INTEGER NOT NULL, stream TEXT NOT NULL, file TEXT NOT NULL, offset INTEGER NOT NULL, bytes_check INTEGER NOT NULL,
  PRIMARY KEY (key, stream)
) WITHOUT ROWID;
CREATE TABLE streams (
  key INTEGER NOT NULL, stream TEXT NOT NULL, acknowledged INTEGER NOT NULL, PRIMARY KEY (key, stream)
) WITHOUT ROWID;
CREATE TABLE outbox (
  key INTEGER NOT NULL, stream TEXT NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (key, stream, offset)
);
CREATE TABLE questions (key INTEGER NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL, UNIQUE (key, id));
CREATE TABLE deliverables (key INTEGER NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL, UNIQUE (key, id));
CREATE TABLE commands (
  key INTEGER NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, taken INTEGER NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY (key, number), UNIQUE (key, id)
) WITHOUT ROWID;
"""
CONTENTS = ("events", "cursors", "streams", "outbox", "questions", "deliverables", "commands")
"""The tables that hold what belongs to a session, each by its key."""


def our_error(error: sqlite3.Error, path: Path) -> StoreError:
    """What an error of SQLite means, and what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; the rest says where in SQLite it arose
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"{path}: other processes held the journal for more than {BUSY_SECONDS:g} s; try again")
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(
            f"{path}: no room left on the disk; nothing of this was written. Make room, then adopt the session"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(
            f"{path}: the journal is damaged ({error}). Move it aside together with the files ending in -wal and -shm; "
            f"`sqlite3 {path.name} .recover` gets out what can be read. Programs on their hosts are not touched by this"
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
        return StoreError(
            f"{path}: the journal cannot be written ({error}); look at the owner and mode of file and directory"
        )
    return StoreError(f"{path}: {error}")


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Errors of SQLite leave the body as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise our_error(error, path) from error


def prepare(path: Path, busy_seconds: float) -> None:
    """Make the file if it is not there, and look whether it is one of ours. Blocking.

    Raises:
        StoreError: it is another program's file, damaged, or cannot be written.
        StoreTooNew: a newer version of this program made it.
        StoreBusy: another process held it for too long.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StoreError(f"{path}: is no regular file, so no journal; name another one")
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = f"{path.parent} is no directory" if isinstance(error, FileExistsError) else error.strerror
        raise StoreError(f"{path}: the journal cannot be opened: {reason}") from error
    with errors_of(path):
        connection = connect(path, busy_seconds)
        try:
            if not _is_empty(connection):
                _check_ours(connection, path)
            _keep_private(path)
            _use_wal(connection, path, busy_seconds)
            connection.execute("BEGIN IMMEDIATE")
            if _is_empty(connection):  # still, now that nobody else can write
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        finally:
            connection.close()


def connect(path: Path, busy_seconds: float, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to a file that is there. It may be used from any thread, by one at a time."""
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA cache_size=-256")  # kB: what is read twice is in the cache of the system, too
        connection.execute("PRAGMA synchronous=FULL")  # a commit that has returned survives a power cut
        # Pages, 16 MB. With many sessions each commit touches as many pages; copied home four times as seldom, by the
        # default of 1,000, they are copied fewer times in all.
        connection.execute("PRAGMA wal_autocheckpoint=4000")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, path: Path, busy_seconds: float) -> None:
    give_up = time.monotonic() + busy_seconds
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself while another process makes the same change.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreError(
            f"{path}: this file system cannot hold a shared journal (SQLite: {mode}); use one on a local disk"
        )


def _keep_private(path: Path) -> None:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreError(f"{path}: others can read the journal; chmod 600 failed: {error.strerror}") from error


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(tables == 0)


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise StoreError(f"{path}: this is another program's database, no journal; name another file")
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{path}: made by a newer version of this program (format {version}, this one knows {SCHEMA_VERSION}); "
            "update optio-agents, or name another file"
        )
