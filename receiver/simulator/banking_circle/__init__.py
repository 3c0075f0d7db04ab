"""Banking Circle Connect, API v1, as its documentation describes it."""

import ssl

from receiver.simulator.banking_circle import control, endpoints, reports, subscriptions
from receiver.simulator.banking_circle.bank import Bank
from receiver.simulator.banking_circle.config import Config
from receiver.simulator.server import BankServer
from receiver.simulator.tls import CertificateFiles, mutual_tls

__all__ = ["Config", "Simulator"]

_NEWEST = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Simulator(BankServer[Config, Bank]):
    """Banking Circle as a server behind mutual TLS; `certificates` says where the files lie that a caller needs."""

    title = "Banking Circle"
    config_class = Config
    bank_class = Bank
    blueprints = (endpoints.blueprint, reports.blueprint, subscriptions.blueprint, control.blueprint)
    certificates: CertificateFiles

    def tls(self, config: Config, host: str) -> tuple[ssl.SSLContext, int]:
        """Return the server's side of mutual TLS, the certificates written to the folder."""
        self.certificates, context = mutual_tls(
            self.folder(config.folder),
            host,
            passcode=config.passcode,
            client_days=config.certificate_days,
            newest=_NEWEST[config.tls_version],
        )
        self.bank.certificates = self.certificates
        return context, config.control_port

    @property
    def announcement(self) -> str:
        """One line that says where it listens, and where the certificates lie."""
        return f"{super().announcement}, certificates in {self.certificates.ca.parent}"
