"""BCB (Bermuda Commercial Bank), Open Banking API v1, as its documentation describes it."""

from receiver.simulator.bcb import control, credentials, endpoints
from receiver.simulator.bcb.bank import Bank
from receiver.simulator.bcb.config import Config
from receiver.simulator.server import BankServer

__all__ = ["Config", "Simulator"]


class Simulator(BankServer[Config, Bank]):
    """BCB as a server, everything on one port."""

    title = "BCB"
    config_class = Config
    bank_class = Bank
    blueprints = (credentials.blueprint, endpoints.blueprint, control.blueprint)
