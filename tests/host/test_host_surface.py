"""The published surface of optio_host: names, places and signatures, frozen."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import optio_host
from optio_host.host import Host
from optio_host.local.host import LocalHost
from optio_host.ssh.host import RemoteHost

PLACES = {
    "optio_host": "DownloadFailed Host HostCommandError LocalHost ProcessHandle RemoteHost RunResult SSHConfig "
    "create_download_task make_host open_host",
    "optio_host.host": "Host HostCommandError LocalHost ProcessHandle RemoteHost RunResult make_host proc_wait",
    "optio_host.types": "SSHConfig",
    "optio_host.download": "DownloadFailed create_download_task",
    "optio_host.paths": "task_dir",
    "optio_host.archive": "DEFAULT_WORKDIR_EXCLUDES consume_workdir_archive yield_workdir_archive",
}


@pytest.mark.parametrize("module", PLACES)
def test_every_published_name_is_where_task_code_imports_it_from(module: str) -> None:
    for name in PLACES[module].split():
        assert getattr(import_module(module), name) is not None


PUBLISHED = {
    "connect": "(self)",
    "disconnect": "(self)",
    "setup_workdir": "(self)",
    "write_text": "(self, relpath, content)",
    "establish_tunnel": "(self, remote_port, *, bind_addr='127.0.0.1')",
    "tail_file": "(self, absolute_path)",
    "cleanup_taskdir": "(self, aggressive)",
    "launch_subprocess": "(self, command, *, env=None, env_remove=None, cwd=None, merge_stderr=True, stdin=False)",
    "terminate_subprocess": "(self, handle, *, aggressive)",
    "remove_file": "(self, path)",
    "put_file_to_host": "(self, source, absolute_target, *, expected_sha256=None, skip_if_unchanged=False,"
    " progress_cb=None)",
    "fetch_bytes_from_host": "(self, absolute_path, *, progress_cb=None)",
    "run_command": "(self, command, *, cwd=None, env=None)",
    "resolve_host_home": "(self)",
    "archive_workdir": "(self, exclude)",
    "restore_workdir": "(self, stream)",
}


def plain(method: object) -> str:
    signature = inspect.signature(method)  # type: ignore[arg-type]
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_contract_has_the_published_signatures_and_no_other_methods(name: str) -> None:
    assert plain(getattr(Host, name)) == PUBLISHED[name]
    methods = {each for each, value in vars(Host).items() if inspect.isfunction(value) and not each.startswith("_")}
    assert methods == set(PUBLISHED)


@pytest.mark.parametrize("kind", [LocalHost, RemoteHost])
@pytest.mark.parametrize("name", PUBLISHED)
def test_our_hosts_only_add_optional_keywords(name: str, kind: type) -> None:
    published = inspect.signature(getattr(Host, name)).parameters
    ours = inspect.signature(getattr(kind, name)).parameters
    assert list(ours)[: len(published)] == list(published)
    for extra in list(ours)[len(published) :]:
        assert ours[extra].kind is inspect.Parameter.KEYWORD_ONLY
        assert ours[extra].default is not inspect.Parameter.empty


def test_plain_values_are_made_as_published() -> None:
    result = optio_host.RunResult("out", "err", 3)
    assert (result.stdout, result.stderr, result.exit_code) == ("out", "err", 3)
    config = optio_host.SSHConfig("build-7", "me", "/keys/id")
    assert (config.host, config.user, config.key_path, config.port) == ("build-7", "me", "/keys/id", 22)
    error = optio_host.HostCommandError("false", 1, "out", "err")
    assert (error.command, error.exit_code, error.stdout, error.stderr) == ("false", 1, "out", "err")
    assert issubclass(optio_host.DownloadFailed, Exception)


def test_no_ssh_is_this_machine(taskdir: str) -> None:
    host = optio_host.make_host(ssh=None, taskdir=taskdir)
    assert isinstance(host, LocalHost)
    assert isinstance(host, Host)
    assert (host.taskdir, host.workdir) == (taskdir, f"{taskdir}/workdir")


def test_a_machine_over_ssh_is_a_host_that_connects_when_told_to(taskdir: str) -> None:
    host = optio_host.make_host(ssh=optio_host.SSHConfig("build-7", "me", "/keys/id"), taskdir=taskdir)
    assert isinstance(host, RemoteHost)
    assert isinstance(host, Host)
    assert (host.taskdir, host.workdir) == (taskdir, f"{taskdir}/workdir")


def test_a_name_that_a_module_has_too_is_still_what_it_was_the_second_time() -> None:
    from optio_host import open_host as first
    from optio_host import open_host as second

    assert first is second
    assert callable(second)


def test_importing_loads_nothing_heavy_and_not_optio_core() -> None:
    script = """
import sys, optio_host, optio_agents
heavy = {"anyio", "asyncssh", "pydantic", "watchfiles", "motor", "rich", "click", "optio_core", "asyncio", "sqlite3"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
