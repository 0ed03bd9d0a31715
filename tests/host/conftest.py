"""What tests of hosts have in common. Failed promises show their values, as tests do."""

from collections.abc import Awaitable, Callable

import pytest
from job_rig import Rig

Run = Callable[[Callable[[], Awaitable[object]]], None]

pytest.register_assert_rewrite("optio_host.testing.conformance")


@pytest.fixture
def run(run: Run, request: pytest.FixtureRequest) -> Run:
    """The same, and a rig's host is disconnected where it was connected: in the event loop of the test."""

    def runner(body: Callable[[], Awaitable[object]]) -> None:
        async def disconnecting() -> None:
            try:
                await body()
            finally:
                for name in {"rig", "each_rig"} & set(request.fixturenames):
                    rig = request.getfixturevalue(name)
                    if isinstance(rig, Rig):
                        await rig.host.disconnect()

        run(disconnecting)

    return runner


@pytest.fixture
def a_session_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command shares a login with others, however slow it is."""
    monkeypatch.setattr("optio_host.ssh.shell.SLOW_LOGIN", 1000.0)
