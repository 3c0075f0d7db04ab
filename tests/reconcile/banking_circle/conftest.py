"""A source whose bank is a Banking Circle behind real mutual TLS, at the test's own time."""

from collections.abc import Iterator
from typing import Any

import pytest
from banking_circle import add_source
from conftest import StandingClock

from receiver.bank_client.session import BankSession
from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Config, Simulator
from receiver.store.sources import SourceRecord


@pytest.fixture
def simulator(clock: StandingClock) -> Iterator[Simulator]:
    with Simulator(Config(automatic=False), clock=clock) as running:
        yield running


@pytest.fixture
def source(parts: Runtime, simulator: Simulator) -> SourceRecord:
    return add_source(parts, simulator)


@pytest.fixture
def session(parts: Runtime, source: SourceRecord) -> BankSession:
    return BankSession(parts, source)


@pytest.fixture(params=["1.2", "1.3"])
def bank(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A bank at the real time. Versions of TLS differ in when a client hears that its certificate is refused."""
    version: Any = request.param
    with Simulator(Config(automatic=False, tls_version=version)) as running:
        yield running
