"""Promises about ports of the host that are reached from here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketStream

from .ground import Ground, NotOffered

_PYTHON = """
import socket, threading
def echo(c):
    while d := c.recv(65536): c.sendall(d)
    c.close()
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(50); print(s.getsockname()[1], flush=True)
while True: threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()
"""

_PERL = """
use IO::Socket::INET; $| = 1; $SIG{CHLD} = "IGNORE";
$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 50) or die; print $s->sockport, "\\n";
while ($c = $s->accept) { next if fork; while (sysread $c, $d, 65536) { syswrite $c, $d } exit }
"""


@asynccontextmanager
async def _echo(ground: Ground) -> AsyncIterator[int]:
    """The port of a program on the host that sends back what it is sent."""
    await ground.host.write_text("echo.py", _PYTHON)
    await ground.host.write_text("echo.pl", _PERL)
    handle = await ground.machine.launch_subprocess(
        "if command -v python3 >/dev/null; then exec python3 echo.py; fi; "
        "if command -v perl >/dev/null; then exec perl echo.pl; fi; echo none"
    )
    try:
        port = (await anext(aiter(handle.stdout))).strip()
        if port == b"none":
            raise NotOffered("python3 or perl on the host")
        yield int(port)
    finally:
        await ground.machine.terminate_subprocess(handle, aggressive=True)


async def _comes_back(stream: SocketStream, data: bytes) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, data)
        back = b""
        while len(back) < len(data):
            back += await stream.receive()
    assert back == data


async def a_port_of_the_host_is_reached_through_a_tunnel(ground: Ground) -> None:
    """Bytes go both ways as they are, on several connections at the same time, and more than any buffer holds."""
    async with _echo(ground) as there:
        port = await ground.host.establish_tunnel(there)
        async with (
            await anyio.connect_tcp("127.0.0.1", port) as first,
            await anyio.connect_tcp("127.0.0.1", port) as second,
        ):
            for stream in (first, second):
                await _comes_back(stream, b"hello \xff\0\r\n")
            await _comes_back(first, bytes(range(256)) * 10_000)
            await first.send_eof()
            with anyio.fail_after(15):
                try:
                    while await first.receive():
                        pass
                except anyio.EndOfStream:
                    pass
            await _comes_back(second, b"still here")


async def several_tunnels_stand_side_by_side(ground: Ground) -> None:
    """Each leads to its own port; the same port asked for again is still reached."""
    async with _echo(ground) as one, _echo(ground) as two:
        for there in (one, two, one):
            port = await ground.host.establish_tunnel(there)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await _comes_back(stream, b"hello")


async def a_tunnel_to_a_port_where_nobody_listens_ends(ground: Ground) -> None:
    """Whoever connects is refused or sees the end of the connection, and is not left waiting."""
    async with _echo(ground) as there:
        pass
    port = await ground.host.establish_tunnel(there)
    with anyio.fail_after(15):
        try:
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                assert await stream.receive() == b""
        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
            pass


PROMISES = (
    a_port_of_the_host_is_reached_through_a_tunnel,
    several_tunnels_stand_side_by_side,
    a_tunnel_to_a_port_where_nobody_listens_ends,
)
