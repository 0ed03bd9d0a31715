"""Log lines, spools and what the far-side reader says: bytes that are cut anywhere."""

from dataclasses import dataclass, field

from fuzz.target import Choices, chunked, target
from optio_agents.protocol.events import OverlongLine, UnknownLine
from optio_agents.protocol.features import ProtocolFeatures
from optio_agents.protocol.keywords import BLANKS, BY_WORD
from optio_agents.protocol.parser import event_of_line
from optio_host.cursor import CHECKED_BYTES, START, Cursor
from optio_host.following import Following, Look
from optio_host.host import FileReset, Followed
from optio_host.lines import HEAD_BYTES, Line, LineFramer, LongLine
from optio_host.ssh.frames import FrameReader, Looked, escaped
from optio_host.ssh.noise import NOISE_KEPT, NoiseCut

LIMITS = (0, 1, 2, 5, 80, 1 << 20)
ALL = ProtocolFeatures(browser="redirect", client_messages=True, caller_messages=True)


def framed(data: bytes, limit: int) -> list[Line | LongLine]:
    """The lines of a whole file, found the plain way."""
    lines: list[Line | LongLine] = []
    position = 0
    for raw in data.split(b"\n")[:-1]:
        position += len(raw) + 1
        line = raw.removesuffix(b"\r")
        fits = len(line) <= limit
        lines.append(Line(line, position) if fits else LongLine(len(line), line[:HEAD_BYTES], position))
    return lines


@target
def log_lines(data: bytes) -> None:
    """However the bytes are cut, the lines are those of the whole file; each is one event, unknown ones are whole."""
    choices = Choices(data)
    limit, all_on = choices.pick(LIMITS), choices.flag()
    cuts = Choices(choices.take(24))
    content = choices.rest()
    expected = framed(content, limit)
    framer = LineFramer(limit=limit)
    lines = [line for chunk in chunked(cuts, content) for line in framer.feed(chunk)]
    assert lines == expected
    assert (framer.fed, framer.pending) == (len(content), len(content) - content.rfind(b"\n") - 1)
    last = framer.finish()
    assert (last is None) == content.endswith(b"\n") or not content
    single = LineFramer(limit=limit)
    assert [line for byte in content for line in single.feed(bytes([byte]))] == expected
    features = ALL if all_on else ProtocolFeatures()
    for line in [*lines, *([last] if last else [])]:
        first = line.end <= 4
        match event_of_line(line, features=features, first=first):
            case OverlongLine(size, head):
                assert isinstance(line, LongLine)
                assert (size, head) == (line.size, line.head.decode("utf-8", "replace"))
            case UnknownLine(text):
                assert isinstance(line, Line)
                start = line.data.removeprefix(b"\xef\xbb\xbf") if first else line.data
                assert text == start.decode("utf-8", "replace").rstrip(BLANKS + "\n")
            case _:
                assert isinstance(line, Line)
                word = line.data.removeprefix(b"\xef\xbb\xbf") if first else line.data
                assert word.partition(b":")[0].strip(BLANKS.encode()).decode() in BY_WORD


@dataclass
class Spool:
    """A file that others write, and its versions: whatever was once its content."""

    data: bytes = b""
    inode: int = 1
    versions: list[bytes] = field(default_factory=list)

    def look(self, following: Following, size: int) -> list[tuple[Followed, Cursor]]:
        fed = following.fed
        before = self.data[max(0, fed - CHECKED_BYTES) : fed]
        return following.take(Look(f"8:{self.inode}", len(self.data), fed, before, self.data[fed : fed + size]))

    def begin_again(self, data: bytes, inode: int) -> None:
        self.versions.append(self.data)
        self.data, self.inode = data, inode


@target
def spools(data: bytes) -> None:
    """Cut, replaced, rotated, its reader killed: each line of a version comes once and in order, a reset is told.

    Every version has a first line of its own, so that no rewriting looks like what was there before.
    """
    choices = Choices(data)
    limit = choices.pick((1, 5, 1 << 20))
    spool = Spool(b"v0\n")
    following = Following(START, limit)
    cursor = START
    told: list[list[Line | LongLine]] = [[]]

    def heard(found: list[tuple[Followed, Cursor]], commit: bool) -> None:
        nonlocal cursor
        if not commit:
            return
        for followed, behind in found:
            if isinstance(followed, FileReset):
                told.append([])
            else:
                told[-1].append(followed)
            cursor = behind

    version = 0
    while choices.left:
        match choices.below(6):
            case 0 | 1:
                spool.data += choices.take(choices.below(40))
            case 2:
                heard(spool.look(following, choices.below(70)), True)
            case 3:  # the reader is killed, perhaps between a look and its commit
                if choices.flag():
                    heard(spool.look(following, choices.below(70)), False)
                following = Following(cursor, limit)
            case 4:
                version += 1
                spool.begin_again(b"v%d\n" % version, spool.inode + choices.below(2))
                # At once: what is rewritten twice between two looks may look like what it was.
                heard(spool.look(following, 70), True)
            case _:
                heard(spool.look(following, 1 << 20), True)
    for _ in range(3):
        heard(spool.look(following, 1 << 20), True)
    assert told[-1] == framed(spool.data, limit)
    assert following.fed == len(spool.data)
    shown = iter([*spool.versions, spool.data])
    for lines in told:
        # What was told between two resets are the first lines of one version; the versions keep their order.
        assert any(lines == framed(version, limit)[: len(lines)] for version in shown) or not lines
    # A cursor that was committed finds the rest, and nothing twice.
    rest = Following(cursor, limit)
    assert spool.look(rest, 1 << 20) == []


@target
def reader_frames(data: bytes) -> None:
    """However the reader's bytes are cut, the frames are the same, or the same is refused; a look is what was sent."""
    choices = Choices(data)
    cuts = Choices(choices.take(24))
    said = choices.rest()

    def read(chunks: list[bytes]) -> tuple[list[object], bool]:
        reader, frames = FrameReader(), list[object]()
        try:
            for chunk in chunks:
                frames += reader.feed(chunk)
        except ValueError:
            return frames, False
        return frames, True

    frames, whole = read([said])
    pieces, all_read = read(list(chunked(cuts, said)))
    if whole and all_read:
        assert pieces == frames
    elif whole:
        assert len(said) > 1024  # a header is only too long while it has no end
    else:
        assert not all_read
        assert pieces[: len(frames)] == frames
    for frame in pieces:
        if isinstance(frame, Looked):
            sent = b"look %d %d %s %d %d %d %d\n" % (
                frame.id, frame.epoch, frame.look.file.encode(), frame.look.size, frame.look.offset,
                len(frame.look.before), len(frame.look.chunk),
            )  # fmt: skip
            assert FrameReader().feed(sent + frame.look.before + frame.look.chunk) == [frame]


@target
def far_paths(data: bytes) -> None:
    """A path that goes to the far side is one word, and `printf %b` makes the path of it."""
    word = escaped(data)
    assert word.isascii()
    assert not set(word) & set(b" \t\n'\"\\$`*?[]~#") - set(b"\\")
    assert printf_b(word) == data


def printf_b(word: bytes) -> bytes:
    """What POSIX says of `printf %b`, as far as `escaped` uses it."""
    out, at = bytearray(), 0
    while at < len(word):
        if word[at : at + 2] == b"\\0":
            out.append(int(word[at + 2 : at + 5], 8))
            at += 5
        else:
            assert word[at : at + 1] != b"\\"
            out.append(word[at])
            at += 1
    return bytes(out)


@target
def login_noise(data: bytes) -> None:
    """Whatever login scripts print, and however it is cut, what comes behind the marker's line is the command's."""
    choices = Choices(data)
    cuts = Choices(choices.take(24))
    noise, line, output = choices.take(choices.below(200)), choices.take(choices.below(20)), choices.rest()
    marker = b"optio-7f "
    line = line.replace(b"\n", b"")
    noise = noise.replace(marker[-1:], b"_")  # only the command can print its marker
    said = noise + marker + line + b"\n" + output
    cut = NoiseCut(marker)
    assert b"".join(cut.feed(chunk) for chunk in chunked(cuts, said)) == output
    assert cut.line == line
    assert cut.noise == noise[:NOISE_KEPT]
