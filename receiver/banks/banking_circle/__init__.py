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
        """Return a Banking Circle source's options as they are to be stored.

        Raises:
            OptionsWrong: an option is not known or has a value that is not taken.
        """
        return options.check(given)

    def check_secret(self, secret: str, options: Mapping[str, Any]) -> None:
        """Accept an encryption key's text: 32 bytes for AES-256, or 24 for AES-192 where its option says Base64.

        Raises:
            Refusal: it makes no key.
        """
        aes_gcm.key("new", secret, options.get("encoding", "utf8"))

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """Prove a callback genuine by AES-GCM, and decrypt it; nothing in it tells how old it is.

        Raises:
            Refusal: no key opens it, or it does not come from an allowed address.
        """
        return callbacks.prove(callback, profile)

    def proofs(self, options: Mapping[str, Any]) -> Sequence[str]:
        """Return `encryption`, and `address` where the source has a list of allowed addresses."""
        return ("encryption", "address") if options.get("allowed_addresses") else ("encryption",)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """Return the claims in a proven callback, one for each notification of the batch.

        Raises:
            NotUnderstood: it is no JSON, no batch, or an empty one.
        """
        return callbacks.read(proof.content)

    def nonce_of(self, callback: Callback) -> str | None:
        """Return none: a nonce belongs to a key, and which key that is shows only by the proof."""
        return None

    def certificate(self, credentials: Mapping[str, str]) -> ClientCertificate:
        """Return the TLS client certificate in the stored credentials.

        Raises:
            CertificateUnusable: there is none.
        """
        return tls.certificate_in(credentials)

    def authorization_url(self, environment: str, base_url: str | None, options: Mapping[str, Any]) -> str:
        """Return the base URL at which tokens are given out: the option's, the source's own, or the bank's.

        A source with an address of its own (a simulator, say) never sends its credentials to the real bank.
        """
        return str(options.get("authorization_url") or base_url or self.authorization_hosts[environment])

    def new_token(self, connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """Fetch an access token by Basic authentication; return it with the time (UTC) at which it ends.

        Raises:
            BankError
        """
        return api.new_token(connection, credentials)

    def ask(self, connection: HttpClient, kind: str, subject: str, facts: Mapping[str, Any]) -> Answer:
        """Ask for a payment's state by its own id, or by the bank's reference where that is all that is known.

        Raises:
            BankError
        """
        asked = api.payment_by_reference if kind == "reference" else api.payment
        return asked(connection, subject)

    def accounts(self, connection: HttpClient) -> Sequence[Account]:
        """Return the accounts that the user may see, from every page.

        Raises:
            BankError
        """
        return api.accounts(connection)

    def fetch_public_keys(self, connection: HttpClient) -> str | None:
        """Return none: callbacks are encrypted with a shared key, and the bank publishes no keys."""
        return None

    def clock(self, connection: HttpClient) -> datetime | None:
        """Return none: the API does not tell the time, and the token shows already that the credentials are taken."""
        return None


BANK: Bank = BankingCircle()
