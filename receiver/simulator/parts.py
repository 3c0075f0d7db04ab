"""What the endpoints work on, carried by the Flask application."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from receiver.simulator.bcb.bank import Bank
from receiver.simulator.bcb.notifier import Notifier
from receiver.simulator.clock import Sleep
from receiver.simulator.faults import Faults
from receiver.simulator.journal import Journal

NAME = "simulator"


@dataclass(frozen=True)
class Parts:
    """One simulator's state."""

    bank: Bank
    notifier: Notifier
    faults: Faults
    journal: Journal
    sleep: Sleep


def parts() -> Parts:
    """Return the state of the simulator that serves the current request."""
    return cast(Parts, current_app.extensions[NAME])
