"""BCB (Bermuda Commercial Bank), Open Banking API v1, as its sheet describes it."""

from receiver.simulator.bcb.simulator import Simulator
from receiver.simulator.config import SimulatorConfig as Config

__all__ = ["Config", "Simulator"]
