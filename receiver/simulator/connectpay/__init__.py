"""ConnectPay, BaaS with integrated SCA, as its documentation describes it."""

from receiver.simulator.connectpay import control, endpoints
from receiver.simulator.connectpay.bank import Bank, Config
from receiver.simulator.server import BankServer

__all__ = ["Config", "Simulator"]


class Simulator(BankServer[Config, Bank]):
    """ConnectPay as a server."""

    title = "ConnectPay"
    config_class = Config
    bank_class = Bank
    blueprints = (endpoints.blueprint, control.blueprint)
