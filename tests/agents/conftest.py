"""A session of the published driver on each kind of host."""

import pytest
from bare_host import BareHost
from driven import HOSTS, Driven, HostKind


@pytest.fixture(params=HOSTS)
def driven(request: pytest.FixtureRequest, taskdir: str) -> Driven:
    kind: HostKind = request.param
    return Driven(kind(taskdir))


@pytest.fixture
def bare(taskdir: str) -> Driven:
    return Driven(BareHost(taskdir))
