"""Follows files on the far side for one driver: sends what is new in them as soon as it is there.

Stands on the host as text given to python3 (3.6 or newer, standard library only). What it reads from stdin and writes
to stdout is described in ssh/frames.py; what a look means is decided by the driver.

Directories are watched with inotify, which also tells of files that are not there yet; a sweep over the state of every
file once a second is the net below that. Where there is no inotify, or no watch to be had, files are polled.

It ends when its stdin does, and when its driver has said nothing for SILENCE seconds.
"""

import os
import re
import select
import stat
import struct
import time

CHUNK = 64 * 1024
CHECKED = 64  # cursor.CHECKED_BYTES
LOOK_COST = 256  # ssh.frames.LOOK_COST
ROUND = 256 * 1024  # bytes that are sent before the driver is listened to again
SWEEP = 1.0
POLL = 0.05
SILENCE = 60.0

# inotify(7), include/uapi/linux/inotify.h
IN_MODIFY, IN_ATTRIB, IN_MOVED_TO, IN_CREATE, IN_DELETE_SELF, IN_MOVE_SELF = 0x2, 0x4, 0x80, 0x100, 0x400, 0x800
IN_Q_OVERFLOW, IN_IGNORED, IN_ONLYDIR = 0x4000, 0x8000, 0x1000000
WATCHED = IN_MODIFY | IN_ATTRIB | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR


class File:
    """One followed file: where it is read, and what the driver may still be sent of it."""

    def __init__(self, name: bytes, path: bytes) -> None:
        self.name = name
        self.path = path
        self.descriptor = -1
        self.seen = ()  # type: tuple[int, ...]

    def begin(self, epoch: bytes, offset: int, credit: int) -> None:
        """Read it from an offset on."""
        self.close()
        self.label = f"{self.name.decode()} {epoch.decode()}"
        self.offset = offset
        self.credit = credit
        self.tail = None  # type: bytes | None
        self.changed = False  # it is not what it was: the driver says where to go on
        self.syncing = False

    def close(self) -> None:
        """Let go of the open file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def look(self) -> bytes:
        """The next look as a frame; empty when nothing is new. OSError, or ValueError for no regular file."""
        if self.descriptor < 0:
            try:
                # O_NONBLOCK: opening a FIFO that someone put here must not block.
                self.descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
            if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
                raise ValueError("it is no regular file, so it cannot be followed; remove it")
        state = os.fstat(self.descriptor)
        checked = min(self.offset, CHECKED)
        wanted = CHUNK if state.st_size > self.offset else 0
        window = os.pread(self.descriptor, checked + wanted, self.offset - checked)
        before, chunk = window[:checked], window[checked:]
        changed = state.st_size < self.offset or (self.tail is not None and before != self.tail)
        if not (changed or chunk or self.tail is None):
            # The file was read to its end just now; if there is another one, whoever wrote to it has moved on.
            try:
                state = os.stat(self.path)
            except OSError:
                return b""
            if os.path.samestat(state, os.fstat(self.descriptor)):
                return b""
            changed, before = True, b""
        header = f"look {self.label} {state.st_dev}:{state.st_ino} {state.st_size} {self.offset}"
        self.changed = changed
        self.offset += len(chunk)
        self.credit -= len(chunk) + LOOK_COST
        self.tail = window[-CHECKED:]
        return f"{header} {len(before)} {len(chunk)}\n".encode() + before + chunk

    def state(self) -> "tuple[int, ...]":
        """What the sweep compares."""
        try:
            state = os.stat(self.path)
        except OSError:
            if self.descriptor < 0:
                return ()
            state = os.fstat(self.descriptor)  # moved away or removed, and perhaps still written to
        return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


class Directory:
    """A directory with followed files in it, there or not."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.files = {}  # type: dict[bytes, set[File]]
        self.watch = -1
        self.inode = ()  # type: tuple[int, ...]

    def every_file(self) -> "list[File]":
        """The files in it."""
        return [file for files in self.files.values() for file in files]


class Inotify:
    """The kernel's notices; `descriptor` is -1 where there are none to be had."""

    def __init__(self) -> None:
        self.descriptor = -1
        try:
            import ctypes

            self._libc = ctypes.CDLL(None, use_errno=True)
            self._errno = ctypes.get_errno
            self.descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (ImportError, OSError, AttributeError):
            return

    def add(self, path: bytes) -> int:
        """Watch a directory. FileNotFoundError or another OSError."""
        watch = self._libc.inotify_add_watch(self.descriptor, path, WATCHED)  # type: int
        if watch < 0:
            raise OSError(self._errno(), "inotify_add_watch")
        return watch

    def remove(self, watch: int) -> None:
        """Watch it no longer."""
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> "list[tuple[int, int, bytes]]":
        """What has happened: watch, mask, name."""
        try:
            data = os.read(self.descriptor, CHUNK)
        except BlockingIOError:
            return []
        events = []
        position = 0
        while position < len(data):
            watch, mask, _, length = struct.unpack_from("iIII", data, position)
            position += 16 + length
            events.append((watch, mask, data[position - length : position].rstrip(b"\0")))
        return events


class Reader:
    """All followed files of one driver."""

    def __init__(self) -> None:
        self.files = {}  # type: dict[bytes, File]
        self.directories = {}  # type: dict[bytes, Directory]
        self.watches = {}  # type: dict[int, list[Directory]]
        self.polled = set()  # type: set[Directory]
        self.inotify = Inotify()
        self.waiting = {}  # type: dict[File, None]
        self.heard = b""
        self.heard_at = time.monotonic()

    def run(self) -> None:
        """Serve until stdin ends or the driver says so."""
        send(b"alive python3\n")
        inputs = [0] + [self.inotify.descriptor] * (self.inotify.descriptor >= 0)
        sweep = poll = time.monotonic()
        while True:
            now = time.monotonic()
            due = min(sweep, poll) if self.polled else sweep
            ready = select.select(inputs, [], [], 0 if self.waiting else max(0, due - now))[0]
            if 0 in ready and not self.listen():
                return
            if len(ready) > (0 in ready):
                self.notice()
            now = time.monotonic()
            if now - self.heard_at > SILENCE:
                return
            if now >= sweep:
                sweep = now + SWEEP
                self.sweep()
            if now >= poll:
                poll = now + POLL
                for directory in self.polled:
                    self.compare(directory.every_file())
            self.serve()

    def listen(self) -> bool:
        """Take what the driver says; False at the end."""
        data = os.read(0, CHUNK)
        self.heard_at = time.monotonic()
        *lines, self.heard = (self.heard + data).split(b"\n")
        return bool(data) and all(self.obey(line.split(b" ")) for line in lines)

    def obey(self, words: "list[bytes]") -> bool:
        """Do what one line says; False for quit."""
        if words[0] == b"quit":
            return False
        if words[0] == b"tick":
            send(b"alive python3\n")
            return True
        if words[0] == b"follow":
            name, epoch, offset, credit, path = words[1:]
            if name not in self.files:
                self.add(File(name, re.sub(rb"\\0([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), path)))
            self.files[name].begin(epoch, int(offset), int(credit))
        file = self.files.get(words[1])
        if file is None:
            return True  # refused a moment ago
        if words[0] == b"unfollow":
            self.remove(file)
            return True
        if words[0] == b"more":
            file.credit += int(words[2])
        elif words[0] == b"sync":
            file.syncing = True
        self.waiting[file] = None
        return True

    def add(self, file: File) -> None:
        """Begin to watch for a file."""
        self.files[file.name] = file
        place, base = os.path.split(file.path)
        directory = self.directories.get(place)
        if directory is None:
            directory = self.directories[place] = Directory(place)
            self.watch(directory)
        directory.files.setdefault(base, set()).add(file)

    def remove(self, file: File) -> None:
        """Forget a file."""
        file.close()
        del self.files[file.name]
        self.waiting.pop(file, None)
        place, base = os.path.split(file.path)
        directory = self.directories[place]
        directory.files[base].discard(file)
        if not directory.files[base]:
            del directory.files[base]
        if not directory.files:
            self.unwatch(directory)
            del self.directories[place]

    def watch(self, directory: Directory) -> None:
        """Have the kernel tell of a directory as it stands there now, or poll where it will not."""
        self.unwatch(directory)
        if self.inotify.descriptor < 0:
            self.polled.add(directory)
            return
        try:
            state = os.stat(directory.path)
            directory.watch = self.inotify.add(directory.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:
            self.polled.add(directory)  # it is not readable, or this user has no more watches; the sweep tries again
            return
        directory.inode = (state.st_dev, state.st_ino)
        self.watches.setdefault(directory.watch, []).append(directory)

    def unwatch(self, directory: Directory) -> None:
        """Undo `watch`. Two paths may lead to one directory; the kernel has one watch for both."""
        self.polled.discard(directory)
        directory.inode = ()
        sharing = self.watches.get(directory.watch, [])
        if directory in sharing:
            sharing.remove(directory)
            if not sharing:
                del self.watches[directory.watch]
                self.inotify.remove(directory.watch)
        directory.watch = -1

    def notice(self) -> None:
        """Take what the kernel tells."""
        for watch, mask, name in self.inotify.read():
            if mask & IN_Q_OVERFLOW:
                self.waiting.update(dict.fromkeys(self.files.values()))
            for directory in list(self.watches.get(watch, ())):
                if mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF):
                    self.watch(directory)
                    self.waiting.update(dict.fromkeys(directory.every_file()))
                for file in directory.files.get(name, ()):
                    self.waiting[file] = None

    def sweep(self) -> None:
        """Look for everything that no notice told of."""
        for directory in list(self.directories.values()):
            try:
                state = os.stat(directory.path)
                inode = (state.st_dev, state.st_ino)  # type: tuple[int, ...]
            except OSError:
                inode = ()
            if inode != directory.inode:
                self.watch(directory)
        self.compare(list(self.files.values()))

    def compare(self, files: "list[File]") -> None:
        """Have those files looked at whose state is another one than the last time."""
        for file in files:
            seen = file.state()
            if seen != file.seen:
                file.seen = seen
                self.waiting[file] = None

    def serve(self) -> None:
        """Send one look of each file that waits, or as many as fit into a round."""
        frames = []
        size = 0
        for file in list(self.waiting):
            del self.waiting[file]
            frame = self.frame(file)
            if not frame:
                continue
            if file.name in self.files:
                self.waiting[file] = None  # behind the others: a file with much to read must not hold them up
            frames.append(frame)
            size += len(frame)
            if size >= ROUND:
                break
        if frames:
            send(b"".join(frames))

    def frame(self, file: File) -> bytes:
        """What there is to say of a file now."""
        if file.changed or file.credit <= 0:
            return b""
        try:
            frame = file.look()
        except (OSError, ValueError) as error:
            reason = f"it cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            self.remove(file)
            return f"refused {file.label} {reason}\n".encode()
        if not frame and file.syncing:
            file.syncing = False
            return f"synced {file.label}\n".encode()
        return frame


def send(data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[os.write(1, data) :]


def main() -> None:
    """Serve on stdin and stdout."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ImportError, ValueError, OSError):
        pass  # the usual limit then: a file too many is refused, and the driver told why
    try:
        Reader().run()
    except BrokenPipeError:
        return  # the link is gone


if __name__ == "__main__":
    main()
