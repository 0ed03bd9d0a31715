"""All tunnels of one host: who owns them, and that none is left when it is disconnected."""

import anyio

from ..clock import Clock
from .forward import Address, Forward, Port, open_forward
from .link import Link
from .reverse import ReverseForward, open_reverse_forward


class Tunnels:
    """The forwards over one link, those the other way too.

    Parameters:
        link: the way to the host.
        clock: time, for tests.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._open: set[Forward | ReverseForward] = set()
        self._established: dict[tuple[int, str], int] = {}
        self._one_at_a_time = anyio.Lock()

    async def establish(self, remote_port: int, bind_addr: str) -> int:
        """See `optio_host.Host.establish_tunnel`. The same port again for the same one there."""
        async with self._one_at_a_time:
            local_port = self._established.get((remote_port, bind_addr))
            if local_port is None:
                # By this name, because much that serves one machine only listens on ::1.
                forward = await self.forward(Port(remote_port, "localhost"), Port(0, bind_addr))
                assert isinstance(forward.listen, Port)
                local_port = forward.listen.number
                self._established[remote_port, bind_addr] = local_port
            return local_port

    async def forward(self, to: Address, listen: Address) -> Forward:
        """Listen on this machine for an address of the host."""
        forward = await open_forward(self._link, to, listen, self._clock, self._open.discard)
        self._open.add(forward)
        return forward

    async def reverse(self, to: Address, listen: Address) -> ReverseForward:
        """Listen on the host for an address of this machine."""
        forward = await open_reverse_forward(self._link, to, listen, self._clock, self._open.discard)
        self._open.add(forward)
        return forward

    async def close(self) -> None:
        """Close them all. Each of its waits has an end, so it is not interrupted."""
        self._established.clear()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for forward in list(self._open):
                    tasks.start_soon(forward.close)
