"""Runs commands on the far side, for a host whose login is slow: one login then serves them all.

Stands on the host as text given to python3 (3.6 or newer, standard library only). It reads frames from stdin and writes
frames to stdout: a line of words, and behind it as many bytes as its last word says where there are any.

    open ID           start a shell that waits for its first line        out ID N / err ID N   bytes it wrote
    in ID N           bytes for its stdin                                exit ID CODE          negative: by that signal
    eof ID            end of its stdin                                   closed ID             nothing more will come
    pause/resume ID   hold its output back
    close ID          let go of it

It ends when its stdin does.
"""

import os
import select
import signal
import subprocess
import sys

CHUNK = 64 * 1024
REST = 1024 * 1024  # what a pipe can hold at most for an ordinary user: pipe(7)
SHELL = ["/bin/sh", "-c", 'IFS= read -r l && eval "$l"']


class Command:
    """A shell that was started, and the ends of its pipes."""

    def __init__(self, name: bytes) -> None:
        environment = dict(os.environ)
        environment.pop("OPTIO_RUN", None)  # what a command leaves behind is not a part of this process
        # Where there is no locale, python3 sets this for itself and for what it starts (PEP 538).
        if sys.argv[1]:
            environment["LC_CTYPE"] = sys.argv[1]
        else:
            environment.pop("LC_CTYPE", None)
        self.name = name
        self.process = subprocess.Popen(
            SHELL,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.stdin = self.process.stdin.fileno()
        self.outputs = {self.process.stdout.fileno(): b"out", self.process.stderr.fileno(): b"err"}
        self.queued = bytearray()
        self.no_more_input = False
        self.paused = False
        for descriptor in [self.stdin, *self.outputs]:
            os.set_blocking(descriptor, False)

    def feed(self) -> None:
        """Write what its stdin takes now."""
        if self.process.stdin is None or self.process.stdin.closed:
            self.queued.clear()
            return
        try:
            while self.queued:
                del self.queued[: os.write(self.stdin, self.queued[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:  # it no longer reads
            self.queued.clear()
            self.no_more_input = True
        if self.no_more_input:
            self.close_stdin()

    def close_stdin(self) -> None:
        """Give it end of input."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()

    def hand_on(self, descriptor: int) -> int:
        """Send on what it has written; the number of bytes, 0 when there is nothing now or never again."""
        try:
            chunk = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return 0
        if chunk:
            send(self.outputs[descriptor], self.name, chunk)
        else:
            del self.outputs[descriptor]
        return len(chunk)

    def finish(self) -> bool:
        """Whether it has ended; then the rest of its output and its exit code are sent."""
        if self.paused or self.process.poll() is None:
            return False
        for descriptor in list(self.outputs):
            rest = REST  # whoever else holds the pipe may write for ever
            while rest > 0:
                count = self.hand_on(descriptor)
                if not count:
                    break
                rest -= count
        write(b"exit %s %d\nclosed %s\n" % (self.name, self.process.returncode, self.name))
        self.close()
        return True

    def close(self) -> None:
        """Let go of its pipes."""
        self.close_stdin()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()
        self.outputs.clear()


def write(data: bytes) -> None:
    """All of it to whoever drives this."""
    while data:
        data = data[os.write(1, data) :]


def send(kind: bytes, name: bytes, data: bytes) -> None:
    """A frame with bytes."""
    write(b"%s %s %d\n%s" % (kind, name, len(data), data))


class Commands:
    """All commands, by name, and the frames that are read for them."""

    def __init__(self) -> None:
        self.running: dict[bytes, Command] = {}
        self.leaving: list[subprocess.Popen[bytes]] = []
        self.pending = b""

    def take(self, data: bytes) -> None:
        """Act on the frames that are complete."""
        self.pending += data
        while True:
            line, end, rest = self.pending.partition(b"\n")
            if not end:
                return
            words = line.split()
            if words[0] == b"in":
                size = int(words[2])
                if len(rest) < size:
                    return
                command = self.running.get(words[1])
                if command and not command.no_more_input:
                    command.queued += rest[:size]
                    command.feed()
                self.pending = rest[size:]
                continue
            self.pending = rest
            self.act(words[0], words[1])

    def act(self, verb: bytes, name: bytes) -> None:
        """Do what a frame without bytes says."""
        if verb == b"open":
            try:
                self.running[name] = Command(name)
            except OSError as error:
                send(b"err", name, os.fsencode(str(error)))
                write(b"exit %s 126\nclosed %s\n" % (name, name))
            return
        command = self.running.get(name)
        if command is None:
            return  # it has ended meanwhile
        if verb == b"eof":
            command.no_more_input = True
            command.feed()
        elif verb in (b"pause", b"resume"):
            command.paused = verb == b"pause"
        elif verb == b"close":
            self.leaving.append(self.running.pop(name).process)
            command.close()

    def run(self) -> None:
        """Until stdin ends."""
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        write(b"ready\n")
        while True:
            reading: dict[int, Command | None] = {0: None, wake: None}
            writing: dict[int, Command] = {}
            for command in self.running.values():
                if not command.paused:
                    reading.update((descriptor, command) for descriptor in command.outputs)
                if command.queued:
                    writing[command.stdin] = command
            readable, writable, _ = select.select(list(reading), list(writing), [])
            if 0 in readable:
                data = os.read(0, CHUNK)
                if not data:
                    return
                self.take(data)
            if wake in readable:
                os.read(wake, CHUNK)
            for descriptor in writable:
                writing[descriptor].feed()
            for descriptor in readable:
                reader = reading[descriptor]
                if reader is not None and descriptor in reader.outputs:
                    reader.hand_on(descriptor)
            for name in [name for name, command in self.running.items() if command.finish()]:
                del self.running[name]
            self.leaving = [process for process in self.leaving if process.poll() is None]


if __name__ == "__main__":
    Commands().run()
