"""Archives that nobody vouches for, extracted over a directory that somebody needs."""

import gzip
import io
import os
import shutil
import stat
import tarfile
from pathlib import Path

from fuzz.hosts import scratch
from fuzz.target import Choices, target
from optio_host.errors import FileRefused, TransferFailed
from optio_host.restore import restore

NAMES = (
    "a", "b", "d", "d/a", "d/e/f", "..", "../out", "/abs", "d/../x", "./a", "", ".", "a/b", "l", "l/x", "arc", "d/",
    "..a", "\u00e9", "a" * 120,
)  # fmt: skip
TARGETS = ("a", "..", "../../outside", "/etc/passwd", "d", "d/../..", "./a", "", "l", "../d", "e/../../..")
TYPES = (
    tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE,
    tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"Z",
)  # fmt: skip
MODES = (0o644, 0o755, 0, 0o4755, 0o7777, 0o500)
ARCHIVE = "arc"


def packed(choices: Choices) -> bytes:
    """A tar of members of choice, perhaps damaged."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=choices.pick((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as tar:
        for _ in range(choices.below(8)):
            member = tarfile.TarInfo(choices.pick(NAMES))
            member.type = choices.pick(TYPES)
            member.mode = choices.pick(MODES)
            member.linkname = choices.pick(TARGETS)
            content = choices.take(choices.below(40))
            member.size = len(content) if member.type in tarfile.REGULAR_TYPES else 0
            tar.addfile(member, io.BytesIO(content))
    plain = bytearray(buffer.getvalue())
    for _ in range(choices.below(4)):
        plain[choices.below(len(plain))] = choices.below(256)
    whole = bytearray(gzip.compress(bytes(plain), 1, mtime=0))
    if choices.below(8) == 7:
        del whole[choices.below(len(whole)) :]
    return bytes(whole)


def seen(directory: Path) -> dict[str, object]:
    """Everything below a directory, with its kind, mode and content."""
    found: dict[str, object] = {}
    for entry in os.scandir(directory):
        path = Path(entry.path)
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[entry.name] = os.readlink(path)
        elif stat.S_ISDIR(mode):
            path.chmod(0o700)
            found |= {entry.name: mode} | {f"{entry.name}/{name}": what for name, what in seen(path).items()}
        else:
            assert stat.S_ISREG(mode), f"{path} is neither file nor directory nor link"
            path.chmod(0o600)
            found[entry.name] = path.read_bytes()
    return found


@target
def archives(data: bytes) -> None:
    """Nothing outside is touched; a refused archive changes nothing; no link that was made leads out."""
    choices = Choices(data)
    content = choices.rest() if choices.below(8) == 7 else packed(choices)
    ground = scratch() / "archives"
    shutil.rmtree(ground, ignore_errors=True)
    workdir = ground / "outer" / "work"
    workdir.mkdir(parents=True)
    (workdir / "held").write_text("held")
    (ground / "outside").write_text("outside")
    (workdir / ARCHIVE).write_bytes(content)
    try:
        for _ in restore(str(workdir), ARCHIVE):
            pass
    except (FileRefused, TransferFailed):
        assert seen(workdir) == {"held": b"held", ARCHIVE: content}
    else:
        made = seen(workdir)
        assert "held" not in made or made["held"] != b"held"
        assert made[ARCHIVE] == content
        for name in made:
            path = workdir / name
            if path.is_symlink():
                assert os.path.realpath(path).startswith(f"{os.path.realpath(workdir)}") or not path.exists()
    assert sorted(os.listdir(ground)) == ["outer", "outside"]
    assert os.listdir(ground / "outer") == ["work"]
    assert (ground / "outside").read_text() == "outside"
