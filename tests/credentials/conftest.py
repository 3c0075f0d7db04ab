"""A source whose bank is a simulator that keeps the test's own time, and what changes its credentials."""

import logging
from collections.abc import Iterator

import pytest
from conftest import StandingClock, add_source

from receiver.credentials.rotation import CredentialChanges
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.store.sources import SourceRecord


@pytest.fixture
def simulator(clock: StandingClock) -> Iterator[Simulator]:
    with Simulator(Config(rate_limit=0), clock=clock) as running:
        yield running


@pytest.fixture
def source(parts: Runtime, simulator: Simulator) -> SourceRecord:
    """The source `bcb`, with the secrets that the simulator has."""
    return add_source(parts, base_url=simulator.url)


@pytest.fixture
def changes(parts: Runtime) -> CredentialChanges:
    return CredentialChanges(parts)


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    """Commands point the log at the runner's standard error, which is gone afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
