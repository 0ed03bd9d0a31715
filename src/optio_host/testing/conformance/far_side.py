"""Looking at the files of a host, and changing them, from the host's own side: what a test there would do."""

import posixpath
from shlex import quote
from typing import Protocol

from ...host import Host


class FarSide(Protocol):
    """The files of the machine behind a host, as another program there sees them. Paths are absolute.

    A byte of a name that is not UTF-8 is a surrogate, as in `os.fsdecode`.
    """

    async def read(self, path: str) -> bytes:
        """The content of a regular file."""
        ...

    async def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file; it is made if it is not there."""
        ...

    async def overwrite(self, path: str, data: bytes) -> None:
        """Cut a file to nothing and write it anew; it stays the same file."""
        ...

    async def rename(self, path: str, new: str) -> None:
        """Give a file another name; what had that name is replaced."""
        ...

    async def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link that says `target`."""
        ...

    async def fifo(self, path: str) -> None:
        """Make a FIFO."""
        ...

    async def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make a directory, and its parents."""
        ...

    async def chmod(self, path: str, mode: int) -> None:
        """Set permission bits."""
        ...

    async def mode(self, path: str) -> int | None:
        """Permission bits; None when nothing is there. Of a link its own."""
        ...

    async def inode(self, path: str) -> int:
        """What tells a file from the one that replaces it."""
        ...

    async def names(self, directory: str) -> list[str]:
        """What is in a directory, sorted."""
        ...


class ThroughCommands:
    """The far side of a host that has a shell, by commands of that shell. Needs only what POSIX has.

    Parameters:
        host: the host itself; only `run_command` of it is used.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    async def read(self, path: str) -> bytes:
        """See `FarSide`."""
        return bytes.fromhex(await self._run(f"od -An -v -tx1 <{quote(path)}"))

    async def append(self, path: str, data: bytes) -> None:
        """See `FarSide`."""
        await self._run(f"printf {_octal(data)} >>{quote(path)}")

    async def overwrite(self, path: str, data: bytes) -> None:
        """See `FarSide`."""
        await self._run(f"printf {_octal(data)} >{quote(path)}")

    async def rename(self, path: str, new: str) -> None:
        """See `FarSide`."""
        await self._run(f"mv -f -- {quote(path)} {quote(new)}")

    async def symlink(self, target: str, path: str) -> None:
        """See `FarSide`."""
        await self._run(f"ln -s -- {quote(target)} {quote(path)}")

    async def fifo(self, path: str) -> None:
        """See `FarSide`."""
        await self._run(f"mkfifo {quote(path)}")

    async def mkdir(self, path: str, mode: int = 0o755) -> None:
        """See `FarSide`."""
        await self._run(f"mkdir -p -- {quote(path)} && chmod {mode:o} {quote(path)}")

    async def chmod(self, path: str, mode: int) -> None:
        """See `FarSide`."""
        await self._run(f"chmod {mode:o} {quote(path)}")

    async def mode(self, path: str) -> int | None:
        """See `FarSide`."""
        listed = await self._run(f"ls -ld -- {quote(path)} 2>/dev/null || :")
        # "drwxr-x---": each letter but "-" is a bit. The special bits are not asked for.
        return int("".join("0" if letter == "-" else "1" for letter in listed[1:10]), 2) if listed else None

    async def inode(self, path: str) -> int:
        """See `FarSide`."""
        return int((await self._run(f"ls -di -- {quote(path)}")).split()[0])

    async def names(self, directory: str) -> list[str]:
        """See `FarSide`."""
        listing = (
            'for name in * .[!.]* ..?*; do [ -e "$name" ] || [ -L "$name" ] || continue; printf "%s\\0" "$name"; done'
        )
        found = bytes.fromhex(await self._run(f"cd -- {quote(directory)} && {{ {listing}; }} | od -An -v -tx1"))
        return sorted(name.decode(errors="surrogateescape") for name in found.split(b"\0")[:-1])

    async def _run(self, command: str) -> str:
        done = await self._host.run_command(command, cwd="/")
        assert done.exit_code == 0, f"the far side: {command!r} gave {done}"
        return done.stdout


def below(directory: str, name: str) -> str:
    """The path of a name in a directory."""
    return posixpath.join(directory, name)


def _octal(data: bytes) -> str:
    return "'" + "".join(f"\\{byte:03o}" for byte in data) + "'"
