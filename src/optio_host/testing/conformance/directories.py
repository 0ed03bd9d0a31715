"""Promises about a host as a whole: its directories, its home, coming and going."""

from .ground import Ground


async def connecting_and_disconnecting_again_does_nothing(ground: Ground) -> None:
    """What is connected works on, and what is disconnected stays so."""
    host = ground.host
    await host.write_text("before", "x")
    for _ in range(2):
        await host.connect()
    assert await host.fetch_bytes_from_host(ground.path("before")) == b"x"
    await host.cleanup_taskdir(aggressive=False)
    ground.left = True
    for _ in range(2):
        await host.disconnect()


async def the_task_directory_and_the_workdir_are_private(ground: Ground) -> None:
    """Both have mode 0700; setting up again neither fails nor takes anything away, and makes them private again."""
    host = ground.host
    assert host.workdir == f"{host.taskdir}/workdir"
    await host.write_text("kept", "x")
    await ground.far.chmod(host.workdir, 0o755)
    await host.setup_workdir()
    assert [await ground.far.mode(each) for each in (host.taskdir, host.workdir)] == [0o700, 0o700]
    assert await ground.far.names(host.workdir) == ["kept"]


async def cleaning_up_removes_the_task_directory(ground: Ground) -> None:
    """All of it, also directories that forbid writing and links, but not what links lead to; again is fine."""
    host, far = ground.host, ground.far
    outside = f"{host.taskdir}.outside"
    await far.mkdir(outside)
    try:
        await far.append(f"{outside}/precious", b"x")
        await far.symlink(outside, ground.path("link"))
        await far.mkdir(ground.path("cache"))
        await far.append(ground.path("cache/module"), b"x")
        await far.chmod(ground.path("cache"), 0o555)
        await host.cleanup_taskdir(aggressive=False)
        assert await far.mode(host.taskdir) is None
        await host.cleanup_taskdir(aggressive=False)
        await host.cleanup_taskdir(aggressive=True)
        assert await far.names(outside) == ["precious"]
    finally:
        await host.remove_file(f"{outside}/precious")
        await far.rename(outside, host.taskdir)  # so that the end of this promise removes it
    assert await far.mode(outside) is None


async def the_home_directory_is_the_users_on_that_host(ground: Ground) -> None:
    """An absolute path, the same as a command there sees."""
    home = await ground.machine.resolve_host_home()
    seen = await ground.machine.run_command('cd -- "$HOME" && pwd -P; cd -- "$0" && pwd -P'.replace("$0", home))
    first, second = seen.stdout.splitlines()
    assert home.startswith("/")
    assert first == second


PROMISES = (
    connecting_and_disconnecting_again_does_nothing,
    the_task_directory_and_the_workdir_are_private,
    cleaning_up_removes_the_task_directory,
    the_home_directory_is_the_users_on_that_host,
)
