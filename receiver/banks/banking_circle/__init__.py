"""Banking Circle Connect, API v1: encrypted batches of notifications, mutual TLS, tokens of five minutes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks import tls
from receiver.banks.abilities import Account
from receiver.banks.banking_circle import api, callbacks, options
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, Bank, Callback, Claim, Profile, Proof
from receiver.banks.tls import ClientCertificate
from receiver.signing import aes_gcm


class BankingCircle(Bank):
    """Banking Circle as the rest of the house sees it."""

    name = "banking_circle"
    credential_names: tuple[str, ...] = ("username", "password", "certificate", "passcode", "ca_certificate")
    credential_files: tuple[str, ...] = ("certificate", "ca_certificate")
    credentials_optional: tuple[str, ...] = ("ca_certificate",)
    hosts: Mapping[str, str] = {
        "production": "https://www.bankingcircleconnect.com",
        "sandbox": "https://sandbox.bankingcircleconnect.com",
    }
    authorization_hosts: Mapping[str, str] = {
        "production": "https://authorization.bankingcircleconnect.com",
        "sandbox": "https://authorizationsandbox.bankingcircleconnect.com",
    }
    requests = 300
    """Not documented: a pace that no reconciliation needs more of. What the bank says by 429 comes first."""
    window_seconds = 60
    token_seconds = 300
    body_bytes = 50 * 1024 * 1024

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `Bank.check_options`."""
        return options.check(given)

    def check_secret(self, secret: str, options: Mapping[str, Any]) -> None:
        """See `Bank.check_secret`."""
        aes_gcm.key("new", secret, options.get("encoding", "utf8"))

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """See `Bank.prove`."""
        return callbacks.prove(callback, profile)

    def proofs(self, options: Mapping[str, Any]) -> Sequence[str]:
        """See `Bank.proofs`."""
        return ("encryption", "address") if options.get("allowed_addresses") else ("encryption",)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """See `Bank.read`."""
        return callbacks.read(proof.content)

    def nonce_of(self, callback: Callback) -> str | None:
        """See `Bank.nonce_of`; none is known before the callback is proven, since it belongs to a key."""
        return None

    def certificate(self, credentials: Mapping[str, str]) -> ClientCertificate:
        """See `PresentsCertificate.certificate`."""
        return tls.certificate_in(credentials)

    def authorization_url(self, environment: str, base_url: str | None, options: Mapping[str, Any]) -> str:
        """See `AuthorizesElsewhere.authorization_url`.

        A source with an address of its own (a simulator, say) never sends its credentials to the real bank.
        """
        return str(options.get("authorization_url") or base_url or self.authorization_hosts[environment])

    def new_token(self, connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """See `Bank.new_token`."""
        return api.new_token(connection, credentials)

    def ask(self, connection: HttpClient, kind: str, subject: str, facts: Mapping[str, Any]) -> Answer:
        """See `Bank.ask`."""
        asked = api.payment_by_reference if kind == "reference" else api.payment
        return asked(connection, subject)

    def accounts(self, connection: HttpClient) -> Sequence[Account]:
        """See `KeepsAccounts.accounts`."""
        return api.accounts(connection)

    def fetch_public_keys(self, connection: HttpClient) -> str | None:
        """See `Bank.fetch_public_keys`; it has none."""
        return None

    def clock(self, connection: HttpClient) -> datetime | None:
        """See `Bank.clock`; it does not tell."""
        return None


BANK: Bank = BankingCircle()
