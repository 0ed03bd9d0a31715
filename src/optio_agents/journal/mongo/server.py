"""Asking the server: always with a deadline, and again when it was not there, which all that is asked must bear."""

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import anyio
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from ...errors import StoreAway, StoreError, StoreFull

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that one question to the server may take, with all its repetitions."""
AGAIN_AFTER = 0.2
"""Seconds between two tries."""

DUPLICATE_KEY = 11000
_REFUSED = (13, 18, 8000)  # Unauthorized, AuthenticationFailed, AtlasError
_FULL = (14031,)  # OutOfDiskSpace
_TOO_LARGE = (17280, 10334, 17419, 17420)  # KeyTooLong, and BSONObjectTooLarge by the names it has had


class Server:
    """A MongoDB server, or replica set, as somebody calls it.

    Parameters:
        name: for errors, without any password.
        patience: seconds that one question may take.
    """

    def __init__(self, name: str, patience: float = PATIENCE) -> None:
        self.name = name
        self._patience = patience

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """What the server answers. It is asked again when the connection breaks: it must do no harm to do it twice.

        Raises:
            StoreAway: it could not be reached in time; it may still have done what it was asked to.
            StoreError: it refused.
            PyMongoError: a key is there already.
        """
        why: Exception = TimeoutError("no answer")
        # In real time, whatever the clock of the store says: this is about a connection.
        with anyio.move_on_after(self._patience):
            while True:
                try:
                    return await question()
                except (ConnectionFailure, ExecutionTimeout, WriteConcernError) as error:
                    why = error
                except (PyMongoError, ValueError, OverflowError) as error:
                    self._refused(error)
                await anyio.sleep(AGAIN_AFTER)
        raise StoreAway(
            f"{self.name}: the journal could not be reached for {self._patience:g} s ({_in_short(why)}); what was "
            "asked may or may not have been done. Is the server there, and has the replica set a primary?"
        ) from why

    def _refused(self, error: Exception) -> NoReturn:
        codes = _codes(error)
        if codes == {DUPLICATE_KEY}:
            raise error
        if isinstance(error, DocumentTooLarge) or codes & set(_TOO_LARGE):
            raise StoreFull(
                f"{self.name}: one event, question or piece of output is larger than the 16 MB that MongoDB takes; "
                "nothing of this counts"
            ) from error
        if codes & set(_FULL):
            raise StoreFull(f"{self.name}: no room left on the disk of the server; make room, then adopt the session")
        if codes & set(_REFUSED):
            raise StoreError(
                f"{self.name}: the server refuses this ({_in_short(error)}); look at the user, the password and the "
                "rights in the URL: optio reads, writes and makes indexes"
            ) from error
        raise StoreError(f"{self.name}: {_in_short(error)}") from error


def _codes(error: Exception) -> set[int | None]:
    if isinstance(error, BulkWriteError):
        return {each.get("code") for each in (error.details or {}).get("writeErrors", [])}
    return {error.code} if isinstance(error, OperationFailure) else set()


def _in_short(error: Exception) -> str:
    # Behind these stand the settings of the client, and all that it knows of every server.
    text = str(error)
    for detail in (", Timeout:", ", full error:", " (configured timeouts:"):
        text = text.partition(detail)[0]
    return text or type(error).__name__
