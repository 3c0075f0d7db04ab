"""What every simulated bank has, whichever bank it is; carried by the Flask application."""

from dataclasses import dataclass, field
from typing import Any, cast

from flask import current_app

from receiver.simulator.clock import Clock, Sleep
from receiver.simulator.errors import Errors
from receiver.simulator.faults import Faults
from receiver.simulator.journal import Journal
from receiver.simulator.options import Options

NAME = "simulator-fittings"


@dataclass(frozen=True)
class Fittings:
    """Time, faults, the journal, the shapes of errors and, where they can change while the bank runs, its options."""

    clock: Clock
    sleep: Sleep
    errors: Errors
    options: Options[Any] | None = None
    faults: Faults = field(default_factory=Faults)
    journal: Journal = field(default_factory=Journal)


def fittings() -> Fittings:
    """Return those of the simulator that serves the current request."""
    return cast(Fittings, current_app.extensions[NAME])
