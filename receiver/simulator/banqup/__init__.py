"""Banqup's APIs, as its sheet describes them."""

from receiver.simulator.banqup.config import Config
from receiver.simulator.banqup.simulator import Simulator

__all__ = ["Config", "Simulator"]
