"""Banqup APIs, as their documentation describes them."""

import ssl
from pathlib import Path

from receiver.simulator.banqup import control, endpoints
from receiver.simulator.banqup.bank import Bank, Config
from receiver.simulator.server import BankServer
from receiver.simulator.tls import server_tls

__all__ = ["Config", "Simulator"]


class Simulator(BankServer[Config, Bank]):
    """Banqup as a server behind TLS; `ca` is the file to check its certificate with."""

    title = "Banqup"
    config_class = Config
    bank_class = Bank
    blueprints = (endpoints.blueprint, control.blueprint)
    ca: Path

    def tls(self, config: Config, host: str) -> tuple[ssl.SSLContext, int]:
        """Return the server's side of TLS, its authority's certificate written to the folder."""
        self.ca, context = server_tls(self.folder(config.folder), host)
        return context, config.control_port

    @property
    def announcement(self) -> str:
        """One line that says where it listens, and what to check its certificate with."""
        return f"{super().announcement}, its authority is {self.ca}"
