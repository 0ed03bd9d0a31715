"""What is special about processes of this machine; what they promise is in `optio_host.testing.conformance`."""

import os
from collections.abc import Awaitable, Callable

import pytest

from optio_host.local.host import LocalHost
from optio_host.local.tree import ProcessSeen, Root, _look_proc, _look_ps, members

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def host(taskdir: str) -> LocalHost:
    host = LocalHost(taskdir)
    os.makedirs(host.workdir)
    return host


def test_the_processes_seen_through_ps_are_those_seen_through_proc() -> None:
    def by_pid(seen: list[ProcessSeen]) -> dict[int, int]:
        return {each.pid: each.parent for each in seen}

    ours = os.getpid()
    assert by_pid(_look_ps([ours])) == by_pid(_look_proc([ours])) == {ours: os.getppid()}


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_ours() -> None:
    someone_else = Root(os.getpid(), "long before", "no-such-tag")
    assert members(someone_else) == []


def test_the_port_of_a_tunnel_on_this_machine_is_the_port_itself(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        assert await host.establish_tunnel(8080) == 8080

    run(body)
