"""Two byte streams joined, a socket here and a channel of a connection, as if those at their ends spoke directly."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Protocol, cast

import asyncssh

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Stream(Protocol):
    """What a socket's transport of asyncio and a channel of asyncssh both offer."""

    def write(self, data: bytes, /) -> None:
        """Queue bytes."""
        ...

    def write_eof(self) -> None:
        """End of what is written, behind what was queued."""
        ...

    def pause_reading(self) -> None:
        """Deliver nothing more for now."""
        ...

    def resume_reading(self) -> None:
        """Deliver again."""
        ...

    def close(self) -> None:
        """Close behind what was queued."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Splice:
    """A connection made of two: what the one end says is given to the other.

    The first end exists when the splice begins; the second may come later. Each direction ends by itself. When one end
    breaks, the other is reset. While one end takes nothing more, the other is not read: what is held is a chunk, the
    queue of the socket (64 kB) and the window of the channel (2 MB).

    Parameters:
        on_begin: called when the first end is there; it has to see that the second comes, or call `abort`.
        on_end: called when both are closed.
    """

    def __init__(self, on_begin: "Callable[[Splice], None]", on_end: "Callable[[Splice], None]") -> None:
        self.first, self.second = End(self), End(self)
        self.first.other, self.second.other = self.second, self.first
        self.aborted = False
        self._on_begin = on_begin
        self._on_end = on_end

    def abort(self) -> None:
        """Reset what there is of it, and what comes later."""
        self.aborted = True
        for end in (self.first, self.second):
            end.reset()

    def came(self, end: "End") -> None:
        """An end is there."""
        if self.aborted:
            end.reset()
        elif end is self.first:
            self._on_begin(self)

    def went(self) -> None:
        """An end is closed."""
        if all(end.gone or end.stream is None for end in (self.first, self.second)):
            self._on_end(self)


class End(asyncssh.SSHTCPSession[bytes], asyncssh.SSHUNIXSession[bytes], asyncio.Protocol):
    """One of the two; what asyncio and asyncssh call.

    Attributes:
        stream: where to write to it; None until it is there.
        gone: it is closed.
    """

    other: "End"

    def __init__(self, splice: Splice) -> None:
        self.stream: Stream | None = None
        self.gone = False
        self._splice = splice
        self._said_all = False
        self._full = False
        self._held = b""

    def reset(self) -> None:
        """Close it now, so that whoever is there notices that it broke. Calling it again does nothing."""
        if self.stream is None or self.gone:
            return
        # Only of a socket: a channel, asked for its socket, gives that of the whole connection.
        if isinstance(self.stream, asyncio.Transport):
            plain = self.stream.get_extra_info("socket")
            # Without it, closing looks like an orderly end.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.stream.abort()

    # What asyncio and asyncssh call.

    def connection_made(self, stream: object) -> None:
        """It is there: what the other one said meanwhile is for it."""
        self.stream = cast(Stream, stream)
        held, self.other._held = self.other._held, b""
        if held:
            self._give(held)
        if self.other._said_all:
            self._give_eof()
        if self.other.stream is not None and not self._full:
            self.other.stream.resume_reading()
        self._splice.came(self)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """It said something."""
        if self.other.stream is None:
            self._held += data
            assert self.stream is not None
            self.stream.pause_reading()
        else:
            self.other._give(data)

    def eof_received(self) -> bool:
        """It has said everything; it may still be told something."""
        self._said_all = True
        if self.other.stream is not None:
            self.other._give_eof()
            if self.other._said_all:
                for end in (self, self.other):
                    if end.stream is not None:
                        end.stream.close()
        return True

    def pause_writing(self) -> None:
        """Enough is queued for it."""
        self._full = True
        if self.other.stream is not None:
            self.other.stream.pause_reading()

    def resume_writing(self) -> None:
        """More may be queued for it."""
        self._full = False
        if self.other.stream is not None:
            self.other.stream.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed. If it had said everything, the other one is still told the rest of it."""
        if (
            exc is None
            and not self._said_all
            and isinstance(self.stream, asyncssh.SSHTCPChannel | asyncssh.SSHUNIXChannel)
        ):
            # asyncssh 2.24 swallows the end of what a channel says if it is closed while nobody reads it. Whether only
            # the channel has ended, or the connection with it, can be seen once the connection is through with this.
            connection = self.stream.get_connection()
            asyncio.get_running_loop().call_soon(lambda: self._lost(in_order=not connection.is_closed()))
        else:
            self._lost(in_order=exc is None and self._said_all)

    def _lost(self, *, in_order: bool) -> None:
        self.gone = True
        if in_order and self.other.stream is not None:
            self.other.stream.close()
        else:
            self._splice.abort()
        self._splice.went()

    def _give(self, data: bytes) -> None:
        assert self.stream is not None
        try:
            self.stream.write(data)
        except OSError:
            # It takes nothing more, and says so with `connection_lost` once what it said has been taken.
            if self.other.stream is not None:
                self.other.stream.pause_reading()

    def _give_eof(self) -> None:
        assert self.stream is not None
        try:
            self.stream.write_eof()
        except OSError:
            self._splice.abort()
