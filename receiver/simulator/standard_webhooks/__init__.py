"""A sender that follows Standard Webhooks 1.0.0 (https://www.standardwebhooks.com); it has no API to call."""

from receiver.simulator.server import BankServer
from receiver.simulator.standard_webhooks import control
from receiver.simulator.standard_webhooks.bank import Bank, Config, public_key

__all__ = ["Config", "Simulator"]


class Simulator(BankServer[Config, Bank]):
    """A sender of Standard Webhooks, whose server answers the control endpoints alone."""

    title = "Standard Webhooks"
    config_class = Config
    bank_class = Bank
    blueprints = (control.blueprint,)

    @property
    def public_key(self) -> str:
        """What `v1a` signatures are checked with: `whpk_` and Base64."""
        return public_key(self.bank.private_key)
