"""Seeds are captured from homes and planted into new ones, on every kind of host, and never outside of them."""

import os
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from bare_host import BareHost
from bson import ObjectId
from seeds_rig import Driver, SeedContext, blobs, seed_context

from mongo_rig import CANCELLED_CONNECTS, mongo_url
from optio_agents import seeds
from optio_agents.errors import ContextLacks, SeedBroken, SeedUnknown
from optio_agents.process_context import StandaloneContext
from optio_agents.seeds import SeedManifest
from optio_agents.seeds.database import read_blob, store_blob
from optio_agents.seeds.members import pack, unpack
from optio_host.errors import FileRefused
from optio_host.host import Host
from optio_host.local.host import LocalHost
from optio_host.testing.fake import FakeHost
from ssh_rig import config_for, connected
from sshd_rig import Sshd

pytestmark = CANCELLED_CONNECTS

Run = Callable[[Callable[[], Awaitable[object]]], None]

MANIFEST = SeedManifest("home", [".agent", ".agent.json", "not/there"], version=3)
SUFFIX = "_agent_seeds"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongo_url(tmp_path_factory.mktemp("database")) as url:
        yield url


@asynccontextmanager
async def host_of(kind: str, directory: str, sshd: Callable[[], Sshd]) -> AsyncIterator[Host]:
    match kind:
        case "ssh":
            async with connected(config_for(sshd()), directory) as host:
                yield host
        case "fake":
            with FakeHost("/srv" + directory) as fake:
                await fake.setup_workdir()
                yield fake
        case _:
            local: Host = BareHost(directory) if kind == "bare" else LocalHost(directory)
            await local.connect()
            await local.setup_workdir()
            yield local
            await local.disconnect()


def put(host: Host, path: str, content: str, mode: int = 0o644) -> None:
    """Write a file into the home, on the host's own side."""
    absolute = posixpath.join(host.workdir, "home", path)
    if isinstance(host, FakeHost):
        host.files.mkdir(posixpath.dirname(absolute))
        host.files.write(absolute, content, mode=mode)
        return
    os.makedirs(os.path.dirname(absolute), exist_ok=True)
    Path(absolute).write_text(content)
    os.chmod(absolute, mode)


def link(host: Host, path: str, target: str) -> None:
    absolute = posixpath.join(host.workdir, "home", path)
    if isinstance(host, FakeHost):
        host.files.symlink(absolute, target)
    else:
        os.symlink(target, absolute)


def seen(host: Host) -> dict[str, tuple[str, str]]:
    """Every file and directory of the home: mode and content."""
    home = f"{host.workdir}/home"
    if isinstance(host, FakeHost):
        tree = {home: host.files.node(home), **dict(host.files._below(home, host.files.node(home)))}
        return {
            posixpath.relpath(path, home): (f"{node.mode:o}", "" if node.is_dir else node.data.decode())
            for path, node in tree.items()
        }
    found = [Path(home), *Path(home).rglob("*")]
    return {
        os.path.relpath(path, home): (f"{path.stat().st_mode & 0o777:o}", "" if path.is_dir() else path.read_text())
        for path in found
    }


def names(ctx: SeedContext) -> dict[str, str]:
    return {"prefix": ctx._prefix, "suffix": SUFFIX}


async def stored(ctx: SeedContext, seed_id: str) -> dict[str, Any]:
    seed = await seeds.load_seed(ctx._db, **names(ctx), seed_id=seed_id)
    assert seed is not None
    return seed


@pytest.mark.parametrize(
    ("kind", "driver"), [("local", "motor"), ("fake", "pymongo"), ("ssh", "pymongo"), ("bare", "motor")]
)
def test_a_home_is_logged_in_from_the_seed_of_another(
    run: Run, url: str, tmp_path: Path, kind: str, driver: Driver, request: pytest.FixtureRequest
) -> None:
    def sshd() -> Sshd:
        server: Sshd = request.getfixturevalue("sshd_here")
        return server

    told: list[str] = []

    async def adapt(host: Host) -> None:
        told.append(host.taskdir)

    async def encrypt(plain: bytes) -> bytes:
        return b"sealed " + plain[::-1]

    def decrypt(sealed: bytes) -> bytes:
        assert sealed.startswith(b"sealed ")
        return sealed[7:][::-1]

    async def body() -> None:
        async with (
            seed_context(url, driver) as ctx,
            host_of(kind, f"{tmp_path}/first task", sshd) as first,
            host_of(kind, f"{tmp_path}/second", sshd) as second,
        ):
            put(first, ".agent/token", "secret")
            put(first, ".agent/bin/tool", "#!/bin/sh", 0o755)
            put(first, ".agent.json", "{}")
            put(first, "of no interest", "not in the seed")
            link(first, ".agent/link", "/etc/passwd")
            seed = await seeds.capture_seed(ctx, first, manifest=MANIFEST, suffix=SUFFIX, encrypt=encrypt)
            assert (await stored(ctx, seed))["manifestVersion"] == 3
            assert b"sealed " in await read_blob(ctx._db, (await stored(ctx, seed))["blobId"])
            assert any(".agent/link" in str(message) for _, message in ctx.progress)

            manifest = SeedManifest("home", MANIFEST.include, consume_transform=adapt)
            await seeds.plant_seed(
                ctx._db, second, **names(ctx), seed_id=seed, manifest=manifest, decrypt=decrypt
            )  # fmt: skip
            planted = {
                ".": ("700", ""),
                ".agent": ("700", ""),
                ".agent.json": ("600", "{}"),
                ".agent/bin": ("700", ""),
                ".agent/bin/tool": ("700", "#!/bin/sh"),
                ".agent/token": ("600", "secret"),
            }
            assert seen(second) == planted
            assert told == [second.taskdir]

            put(second, ".agent.json", "its own")
            put(second, ".agent/other", "its own")
            token = SeedManifest("home", [".agent/token"])
            await seeds.merge_seed(ctx, second, seed_id=seed, manifest=token, suffix=SUFFIX, decrypt=decrypt)
            assert seen(second)[".agent.json"][1] == "its own"

            put(second, ".agent/token", "renewed")
            refresh = {"seed_id": seed, "suffix": SUFFIX, "encrypt": encrypt, "decrypt": decrypt}
            before = (await stored(ctx, seed))["blobId"]
            await seeds.refresh_seed(ctx, second, manifest=token, **refresh)  # type: ignore[arg-type]
            after = (await stored(ctx, seed))["blobId"]
            await seeds.refresh_seed(ctx, second, manifest=token, **refresh)  # type: ignore[arg-type]
            assert before != after == (await stored(ctx, seed))["blobId"]
            assert await blobs(ctx) == 1
            members = unpack(decrypt(await read_blob(ctx._db, after)))
            assert {path: each and each.content for path, each in members.items()} == {
                ".agent": None, ".agent/bin": None, ".agent/bin/tool": b"#!/bin/sh", ".agent/token": b"renewed",
                ".agent.json": b"{}",
            }  # fmt: skip
            await seeds.purge_seed(ctx._db, **names(ctx), seed_id=seed)
            assert await blobs(ctx) == 0
            if isinstance(first, FakeHost):
                assert "secret" not in str([each.command for each in (*first.commands, *second.commands)])  # type: ignore[attr-defined]

    run(body)


@pytest.mark.parametrize("kind", ["local", "fake"])
def test_neither_planting_nor_capturing_goes_through_a_symbolic_link(
    run: Run, url: str, tmp_path: Path, kind: str
) -> None:
    async def body() -> None:
        async with (
            seed_context(url) as ctx,
            host_of(kind, f"{tmp_path}/first", None) as first,  # type: ignore[arg-type]
            host_of(kind, f"{tmp_path}/second", None) as second,  # type: ignore[arg-type]
        ):
            put(first, ".agent/token", "secret")
            seed = await seeds.capture_seed(ctx, first, manifest=MANIFEST, suffix=SUFFIX, encrypt=None)
            put(second, "../outside/token", "untouched")
            put(second, "other", "")
            link(second, ".agent", "../outside")
            plant = {"seed_id": seed, "manifest": MANIFEST, "decrypt": None}
            with pytest.raises(FileRefused, match="symbolic link"):
                await seeds.plant_seed(ctx._db, second, **names(ctx), **plant)  # type: ignore[arg-type]
            with pytest.raises(FileRefused, match="symbolic link"):
                await seeds.capture_seed(
                    ctx, second, manifest=SeedManifest("home", [".agent/token"]), suffix=SUFFIX, encrypt=None
                )
            # A link in the place of a file is replaced, not written through.
            await second.remove_file(f"{second.workdir}/home/.agent")
            put(second, ".agent/x", "")
            link(second, ".agent/token", "../../outside/token")
            await seeds.plant_seed(ctx._db, second, **names(ctx), **plant)  # type: ignore[arg-type]
            assert seen(second)[".agent/token"] == ("600", "secret")
            assert await second.fetch_bytes_from_host(f"{second.workdir}/outside/token") == b"untouched"

    run(body)


def test_a_failure_in_the_middle_leaves_a_seed_that_can_be_planted(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with seed_context(url) as ctx, host_of("local", str(tmp_path), None) as host:  # type: ignore[arg-type]
            put(host, ".agent.json", "{}")
            seed = await seeds.capture_seed(ctx, host, manifest=MANIFEST, suffix=SUFFIX, encrypt=None)
            change = {"seed_id": seed, "encrypt": None, "decrypt": None}

            def broken(*anything: object) -> None:
                raise ConnectionError("the power went")

            for step in ("store_blob", "collection_of", "remove_blob"):
                with monkeypatch.context() as patched:
                    patched.setattr(f"optio_agents.seeds.transfer.{step}", broken)
                    with pytest.raises(ConnectionError):
                        await seeds.overwrite_seed_member(
                            ctx._db, **names(ctx), member_path=".agent.json", content=step.encode(), **change
                        )  # type: ignore[arg-type]
                await seeds.plant_seed(
                    ctx._db, host, **names(ctx), seed_id=seed, manifest=MANIFEST, decrypt=None
                )  # fmt: skip
            # The last one failed behind the change.
            assert seen(host)[".agent.json"] == ("600", "remove_blob")

    run(body)


def test_changes_at_the_same_time_do_not_lose_each_other(run: Run, url: str) -> None:
    async def body() -> None:
        async with seed_context(url) as ctx:
            blob = await store_blob(ctx._db, ctx._prefix, pack({}))
            seed = await seeds.insert_seed(ctx._db, **names(ctx), blob_id=blob, manifest_version=1)
            async with anyio.create_task_group() as group:
                for number in range(8):
                    group.start_soon(overwrite, ctx, seed, f"file-{number}")
            members = unpack(await read_blob(ctx._db, (await stored(ctx, seed))["blobId"]))
            assert sorted(members) == [f"file-{number}" for number in range(8)]
            assert await blobs(ctx) == 1

    run(body)


async def overwrite(ctx: SeedContext, seed: str, path: str) -> None:
    await seeds.overwrite_seed_member(
        ctx._db, **names(ctx), seed_id=seed, member_path=path, content=path.encode(), encrypt=None, decrypt=None
    )


def test_what_is_wrong_is_said(run: Run, url: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with seed_context(url) as ctx, host_of("local", str(tmp_path), None) as host:  # type: ignore[arg-type]
            with pytest.raises(SeedBroken, match="no such home"):
                await seeds.capture_seed(ctx, host, manifest=MANIFEST, suffix=SUFFIX, encrypt=None)
            with pytest.raises(ContextLacks, match="capture_seed"):
                await seeds.capture_seed(StandaloneContext(), host, manifest=MANIFEST, suffix=SUFFIX, encrypt=None)
            for unknown in ("no id", str(ObjectId())):
                with pytest.raises(KeyError) as error:
                    await seeds.plant_seed(
                        ctx._db, host, **names(ctx), seed_id=unknown, manifest=MANIFEST, decrypt=None
                    )  # fmt: skip
                assert isinstance(error.value, SeedUnknown)
                assert await seeds.load_seed(ctx._db, **names(ctx), seed_id=unknown) is None
                assert await seeds.delete_seed(ctx._db, **names(ctx), seed_id=unknown) is None
            for path in ("../x", "/etc/passwd", "a/../../x", ""):
                with pytest.raises(ValueError, match=r"path in a seed|names no file"):
                    await overwrite(ctx, str(ObjectId()), path)
            put(host, ".agent.json", "{}")
            with pytest.raises(TypeError, match="return bytes"):
                await seeds.capture_seed(
                    ctx, host, manifest=MANIFEST, suffix=SUFFIX, encrypt=lambda plain: "text"  # type: ignore[arg-type, return-value]
                )  # fmt: skip
            assert await seeds.list_seeds(ctx._db, **names(ctx)) == []
            assert await blobs(ctx) == 0

    run(body)


def test_metadata_is_merged_and_a_seed_is_listed(run: Run, url: str) -> None:
    async def body() -> None:
        async with seed_context(url, "pymongo") as ctx:
            seed = await seeds.insert_seed(ctx._db, **names(ctx), blob_id=ObjectId(), manifest_version=1)
            await seeds.declare_metadata(ctx._db, **names(ctx), seed_id=seed, metadata={"a": 1, "b": 1})
            await seeds.declare_metadata(ctx._db, **names(ctx), seed_id=seed, metadata={"b": 2})
            assert (await stored(ctx, seed))["metadata"] == {"a": 1, "b": 2}
            assert [each["seedId"] for each in await seeds.list_seeds(ctx._db, **names(ctx))] == [seed]
            blob = ObjectId()
            await seeds.update_seed_blob(ctx._db, **names(ctx), seed_id=seed, new_blob_id=blob)
            assert await seeds.delete_seed(ctx._db, **names(ctx), seed_id=seed) == blob

    run(body)
