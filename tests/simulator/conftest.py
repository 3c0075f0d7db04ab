"""A simulator on a free port, a caller of its API, and a receiver that writes down what it is sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from simulator.callers import Caller, FakeClock, Receiver, Start, StartBank, started

from receiver.simulator.bcb import Config, Simulator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def start_bank(clock: FakeClock) -> Iterator[StartBank]:
    """Starts any bank: `start_bank(caller, Simulator, Config(…))`."""
    with started(clock) as starter:
        yield starter


@pytest.fixture
def start(start_bank: StartBank) -> Start[Caller]:
    """Starts BCB with other settings, or waits that are written down instead of waited for."""

    def starter(*, sleep: Any = None, **settings: Any) -> Caller:
        return start_bank(Caller, Simulator, Config(**settings), sleep=sleep)

    return starter


@pytest.fixture
def caller(start: Start[Caller]) -> Caller:
    return start()
