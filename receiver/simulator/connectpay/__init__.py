"""ConnectPay, BaaS with integrated SCA, as its sheet describes it."""

from receiver.simulator.connectpay.config import Config
from receiver.simulator.connectpay.simulator import Simulator

__all__ = ["Config", "Simulator"]
