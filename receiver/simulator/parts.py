"""What BCB's endpoints work on, carried by the Flask application."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from receiver.simulator.bcb.bank import Bank
from receiver.simulator.bcb.notifier import Notifier

NAME = "simulator"


@dataclass(frozen=True)
class Parts:
    """One simulated BCB's state."""

    bank: Bank
    notifier: Notifier


def parts() -> Parts:
    """Return the state of the simulator that serves the current request."""
    return cast(Parts, current_app.extensions[NAME])
