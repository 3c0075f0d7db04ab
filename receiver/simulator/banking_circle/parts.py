"""What Banking Circle's endpoints work on, carried by the Flask application."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from receiver.simulator.application import STATE
from receiver.simulator.banking_circle.bank import Bank
from receiver.simulator.banking_circle.notifier import Notifier
from receiver.simulator.certificates import Files


@dataclass(frozen=True)
class Parts:
    """One simulated Banking Circle's state."""

    bank: Bank
    notifier: Notifier
    certificates: Files


def parts() -> Parts:
    """Return the state of the simulator that serves the current request."""
    return cast(Parts, current_app.extensions[STATE])
