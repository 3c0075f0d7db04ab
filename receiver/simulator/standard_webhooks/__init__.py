"""A sender that follows Standard Webhooks 1.0.0 (https://www.standardwebhooks.com)."""

from receiver.simulator.standard_webhooks.config import Config
from receiver.simulator.standard_webhooks.simulator import Simulator

__all__ = ["Config", "Simulator"]
