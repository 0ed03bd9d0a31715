"""A seed's archive is believed in nothing: it cannot leave the home, fill the memory, or pass for what it is not."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optio_agents.errors import SeedBroken
from optio_agents.seeds.manifest import SeedManifest
from optio_agents.seeds.members import MEMBER_LIMIT, SEED_LIMIT, SeedFile, pack, unpack
from optio_host.errors import FileRefused


def archive(*members: tuple[str, bytes, bytes]) -> bytes:
    """An archive of (name, type, content) as anybody could write it; of a link the content is its target."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content.decode()
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/passwd", tarfile.REGTYPE, b"x"),
        ("../token", tarfile.REGTYPE, b"x"),
        ("a/../../token", tarfile.REGTYPE, b"x"),
        ("a/..", tarfile.DIRTYPE, b""),
        ("hard", tarfile.LNKTYPE, b"/etc/passwd"),
        ("fifo", tarfile.FIFOTYPE, b""),
        ("device", tarfile.CHRTYPE, b""),
        ("disk", tarfile.BLKTYPE, b""),
    ],
    ids=lambda member: member[0],
)
def test_what_leads_out_or_is_no_file_is_refused(member: tuple[str, bytes, bytes]) -> None:
    with pytest.raises(FileRefused):
        unpack(archive(("good", tarfile.REGTYPE, b"x"), member))


def test_a_symbolic_link_is_left_out_and_nothing_goes_through_it() -> None:
    assert unpack(archive(("link", tarfile.SYMTYPE, b"/etc"), ("file", tarfile.REGTYPE, b"x"))) == {
        "file": SeedFile(b"x")
    }


@pytest.mark.parametrize("first", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_a_directory_that_is_also_a_file_is_refused(first: bytes) -> None:
    second = tarfile.DIRTYPE if first == tarfile.REGTYPE else tarfile.REGTYPE
    with pytest.raises(FileRefused, match="something else"):
        unpack(archive(("name", first, b""), ("name", second, b"")))
    with pytest.raises(FileRefused, match="something else"):
        unpack(archive(("name", tarfile.REGTYPE, b""), ("name/below", tarfile.REGTYPE, b"")))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    header = tarfile.TarInfo("zeros")
    header.size = 8 * SEED_LIMIT
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as file:
        file.write(header.tobuf())
        for _ in range(2):
            file.write(bytes(SEED_LIMIT))
    with pytest.raises(SeedBroken, match="at most"):
        unpack(bomb.getvalue())
    many = archive(*((str(number), tarfile.REGTYPE, b"") for number in range(MEMBER_LIMIT + 1)))
    with pytest.raises(SeedBroken, match="at most"):
        unpack(many)


@pytest.mark.parametrize("cut", [0, 1, 20, 100])
def test_an_archive_that_is_cut_off_is_broken(cut: int) -> None:
    whole = pack({"a": SeedFile(bytes(range(256)) * 40)})
    with pytest.raises(SeedBroken, match="broken or cut off"):
        unpack(whole[: len(whole) - 1 - cut])


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20)


@settings(max_examples=200)
@given(st.dictionaries(names.filter(lambda name: name not in (".", "..")), st.binary(max_size=2000), max_size=5))
def test_what_was_packed_is_unpacked_byte_for_byte_and_always_the_same(files: dict[str, bytes]) -> None:
    members: dict[str, SeedFile | None] = {
        f"d/{name}": SeedFile(data, len(data) % 2 == 0) for name, data in files.items()
    }
    members["d"] = None
    assert unpack(pack(members)) == members
    assert pack(dict(reversed(members.items()))) == pack(members)


@settings(max_examples=500)
@given(st.binary(max_size=300))
def test_no_bytes_do_anything_else_than_be_broken(data: bytes) -> None:
    with pytest.raises((SeedBroken, FileRefused)):
        unpack(data)


def test_nothing_of_a_file_is_shown() -> None:
    assert "token" not in repr(SeedFile(b"token"))


@pytest.mark.parametrize("path", ["/abs", "..", "a/../b", "nul\0"])
def test_a_manifest_names_no_place_outside_of_the_home(path: str) -> None:
    with pytest.raises(ValueError, match="relative"):
        SeedManifest("home", [path])
    with pytest.raises(ValueError, match="relative"):
        SeedManifest(path, [])
