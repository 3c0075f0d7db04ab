"""Banking Circle Connect, API v1, as its sheet describes it."""

from receiver.simulator.banking_circle.config import Config
from receiver.simulator.banking_circle.simulator import Simulator

__all__ = ["Config", "Simulator"]
