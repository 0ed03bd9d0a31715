"""Every kind of host keeps the promises of a host; and the promises are such that a host can break them."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import broken_hosts
import pytest

from optio_host.host import Host
from optio_host.local.host import LocalHost
from optio_host.local.tree import RUN_TAG, Root, end_tree
from optio_host.ssh.host import RemoteHost
from optio_host.testing.conformance import HOST_PROMISES, NotOffered, Promise, prove, try_promise
from optio_host.testing.ssh_server import SSHServer
from optio_host.types import SSHConfig
from ssh_rig import config_for
from sshd_rig import Sshd, plain_user, sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]
MakeHost = Callable[[], AbstractAsyncContextManager[Host]]

TASK = "task dir's"
"""A task directory that must be quoted."""

each_promise = pytest.mark.parametrize("promise", HOST_PROMISES, ids=lambda promise: promise.__name__)


@pytest.fixture(autouse=True)
def short_graces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("optio_host.local.host.TERMINATE_GRACE", 0.3)
    monkeypatch.setattr("optio_host.local.process.KILL_GRACE", 0.3)
    monkeypatch.setattr("optio_host.ssh.host.TERMINATE_GRACE", 0.3)
    monkeypatch.setattr("optio_host.ssh.command.KILL_GRACE", 0.3)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def open_directory() -> Iterator[Path]:
    """A directory that every user of this machine can enter, as those of pytest are not."""
    directory = tempfile.mkdtemp(prefix="optio-conformance-", dir="/tmp")
    os.chmod(directory, 0o755)
    yield Path(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def root_server(open_directory: Path) -> Iterator[Sshd]:
    # Another home, so that what this user's rc files cost is not paid for each command.
    home = open_directory / "root" / "home"
    home.mkdir(parents=True)
    with sshd(open_directory / "root", settings=f"SetEnv HOME={home}") as server:
        yield server


@pytest.fixture(scope="module")
def plain_server(open_directory: Path) -> Iterator[Sshd]:
    with sshd(open_directory / "plain", user=plain_user()) as server:
        yield server


def named(name: str) -> Promise:
    return next(promise for promise in HOST_PROMISES if promise.__name__ == name)


def makes(host: Callable[[], Host]) -> MakeHost:
    @asynccontextmanager
    async def make_host() -> AsyncIterator[Host]:
        made = host()
        try:
            yield made
        finally:
            await made.disconnect()

    return make_host


@asynccontextmanager
async def remote(config: SSHConfig, taskdir: str) -> AsyncIterator[Host]:
    host = RemoteHost(config, taskdir)
    try:
        await host.connect()
        yield host
    finally:
        await host.disconnect()


def keeps(promise: Promise, run: Run, make_host: MakeHost) -> None:
    async def body() -> None:
        try:
            await try_promise(promise, make_host)
        except NotOffered as missing:
            raise AssertionError(f"this host must offer {missing}") from missing

    run(body)


@each_promise
def test_this_machine(run: Run, tmp_path: Path, promise: Promise) -> None:
    keeps(promise, run, makes(lambda: LocalHost(str(tmp_path / TASK))))


@each_promise
def test_over_the_server_in_this_process(run: Run, tmp_path: Path, promise: Promise) -> None:
    @asynccontextmanager
    async def make_host() -> AsyncIterator[Host]:
        async with SSHServer(tmp_path / "server", rc="echo noise; echo noise >&2") as server:
            async with remote(config_for(server), str(tmp_path / TASK)) as host:
                yield host

    keeps(promise, run, make_host)


@each_promise
def test_over_ssh_as_root_or_whoever_this_is(run: Run, tmp_path: Path, root_server: Sshd, promise: Promise) -> None:
    keeps(promise, run, lambda: remote(config_for(root_server), str(tmp_path / TASK)))


@each_promise
def test_over_ssh_as_a_plain_user(run: Run, plain_server: Sshd, promise: Promise) -> None:
    directory = Path(tempfile.mkdtemp(dir=plain_server.directory))
    shutil.chown(directory, plain_server.user)
    keeps(promise, run, lambda: remote(config_for(plain_server), str(directory / TASK)))


AREAS = [
    "a_command_that_takes_too_long_is_ended_with_its_grandchildren",
    "input_arrives_whole_and_need_not_be_read",
    "many_commands_at_once_get_their_own_answers",
    "a_process_is_talked_to_line_by_line",
    "every_kind_of_source_arrives_whole",
    "a_file_is_streamed_whole",
    "each_line_is_seen_once_with_the_position_behind_it",
    "a_workdir_comes_back_as_it_was",
    "a_port_of_the_host_is_reached_through_a_tunnel",
    "a_run_is_fed_and_read_by_files_and_its_end_is_known",
]
"""One promise of each area: what is behind a jump host is the same, only the way is longer."""


@pytest.mark.parametrize("name", AREAS)
def test_over_ssh_through_a_jump_host(run: Run, root_server: Sshd, plain_server: Sshd, name: str) -> None:
    directory = Path(tempfile.mkdtemp(dir=plain_server.directory))
    shutil.chown(directory, plain_server.user)
    config = config_for(plain_server, jump=(config_for(root_server),))
    keeps(named(name), run, lambda: remote(config, str(directory / TASK)))


# The suite can fail


@pytest.fixture
def sweep(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a broken host leaves running is ended all the same."""
    tag = secrets.token_hex(8)
    monkeypatch.setenv(RUN_TAG, tag)
    yield
    run(lambda: end_tree(Root(-1, "", tag), grace=0))


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (broken_hosts.StderrIntoStdout, "a_command_returns_both_streams_apart_and_its_exit_code"),
        (broken_hosts.SignalsAsShellsCountThem, "a_death_by_signal_is_told_from_an_exit"),
        (broken_hosts.OneBadByteAndNothing, "bytes_that_are_not_utf8_do_not_empty_the_output"),
        (broken_hosts.SecretsOnTheCommandLine, "additions_to_the_environment_are_in_no_process_list"),
        (broken_hosts.KillsTheShellOnly, "nothing_survives_an_aggressive_end"),
        (broken_hosts.KillsTheShellOnly, "a_process_is_asked_to_end_before_it_is_killed"),
        (broken_hosts.WritesInPlace, "bytes_that_are_not_the_expected_ones_leave_the_old_file"),
        (broken_hosts.CopiesAgain, "an_unchanged_file_is_not_copied_again"),
        (broken_hosts.QuotesNothing, "names_with_every_odd_character_are_taken_as_they_are"),
        (broken_hosts.ReadsWhateverItIs, "what_is_no_regular_file_is_not_fetched"),
        (broken_hosts.TrustsThePath, "text_does_not_leave_the_workdir"),
        (broken_hosts.ExtractsAll, "an_archive_that_leaves_the_workdir_is_refused_whole"),
        (broken_hosts.CutsLongLines, "a_line_is_never_cut_however_long"),
        (broken_hosts.ForgetsItsPlace, "a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice"),
        (broken_hosts.HalfALineIsALine, "each_line_is_seen_once_with_the_position_behind_it"),
        (broken_hosts.AnotherPort, "a_port_of_the_host_is_reached_through_a_tunnel"),
        (broken_hosts.InheritsEverything, "inherited_names_are_dropped_by_pattern_and_additions_win"),
        (broken_hosts.DropsTheLastByteOfInput, "input_arrives_whole_and_need_not_be_read"),
        (broken_hosts.DropsTheLastByteOfInput, "a_repeated_append_is_done_once"),
        (broken_hosts.StreamsBlindly, "no_mixture_of_two_contents_is_handed_over"),
        (broken_hosts.StreamsBlindly, "a_file_outside_of_its_directory_is_refused"),
        (broken_hosts.Hangs, "the_home_directory_is_the_users_on_that_host"),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_a_host_that_breaks_a_promise_is_found_out(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[LocalHost], promise: str
) -> None:
    monkeypatch.setattr("optio_host.testing.conformance.DEADLINE", 2.0)
    make_host = makes(lambda: kind(str(tmp_path / "task")))

    async def body() -> None:
        report = await prove(make_host, promises=[named(promise)])
        assert [each.promise for each in report.broken] == [promise]
        assert promise in str(report)

    run(body)


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize(
    "promise",
    [
        "a_cancelled_command_is_ended_with_its_grandchildren",
        "a_command_that_takes_too_long_is_ended_with_its_grandchildren",
        "nothing_survives_an_end",
        "nothing_survives_an_aggressive_end",
    ],
)
def test_a_host_that_ends_the_shell_alone_is_found_out(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promise: str
) -> None:
    async def only_the_shell(root: Root, **_: object) -> tuple[int, ...]:
        os.kill(root.pid, signal.SIGKILL)
        return ()

    monkeypatch.setattr("optio_host.local.process.end_tree", only_the_shell)

    async def body() -> None:
        report = await prove(makes(lambda: LocalHost(str(tmp_path / "task"))), promises=[named(promise)])
        [broken] = report.broken
        assert "these survived" in str(broken.error)

    run(body)


def test_what_a_host_does_not_offer_is_said_and_the_rest_is_tried(run: Run, tmp_path: Path) -> None:
    names = ["an_exit_ends_its_own_command_only", "input_arrives_whole_and_need_not_be_read",
             "a_file_is_streamed_whole", "a_truncated_file_is_noticed", "a_repeated_append_is_done_once"]  # fmt: skip
    make_host = makes(lambda: broken_hosts.PublishedOnly(LocalHost(str(tmp_path / "task"))))  # type: ignore[arg-type,return-value]

    async def body() -> None:
        report = await prove(make_host, promises=[named(name) for name in names])
        assert (report.kept, report.broken) == ((names[0],), ())
        assert [name for name, _ in report.not_offered] == names[1:]
        report = await prove(make_host, promises=[named(names[0])], machine=False)
        assert report.not_offered == ((names[0], "a real shell and real processes"),)

    run(body)
