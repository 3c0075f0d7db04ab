"""BCB: Bermuda Commercial Bank, Open Banking API v1."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks.abilities import Account, Explanation, NewCredentials, Permission
from receiver.banks.bcb import api, callbacks, credentials, explanation, options
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, Bank, Callback, Claim, Profile, Proof
from receiver.signing import hmac_sha256


class Bcb(Bank):
    """BCB as the rest of the house sees it."""

    name = "bcb"
    credential_names: tuple[str, ...] = ("client_id", "client_secret")
    hosts: Mapping[str, str] = {"production": "https://api.bcb.bm", "sandbox": "https://api-uat.bcb.bm"}
    requests = 300
    window_seconds = 3600
    token_seconds = 40 * 60
    publishes_keys = True

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a BCB source's options as they are to be stored.

        Raises:
            OptionsWrong: an option is not known or has a value that is not taken.
        """
        return options.check(given)

    def check_secret(self, secret: str, options: Mapping[str, Any]) -> None:
        """Accept a signing secret's text, in Base64 unless the source's option says UTF-8.

        Raises:
            Refusal: it makes no key.
        """
        hmac_sha256.key("new", secret, options.get("encoding", "base64"))

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """Prove a callback genuine by its HMAC-SHA256 or RSA-PSS signature, and fresh by its timestamp.

        Raises:
            Refusal: it is not proven genuine.
            KeysNotKnown: it names a public key that is not known here yet.
        """
        return callbacks.prove(callback, profile, now)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """Return the claim in a proven callback: a deposit, or a job that has come to an end.

        Raises:
            NotUnderstood
        """
        return callbacks.read(proof.content)

    def nonce_of(self, callback: Callback) -> str | None:
        """Return the nonce in the callback's header, unproven; none where there is none."""
        return callback.headers.get(callbacks.NONCE, b"").decode("latin-1") or None

    def new_token(self, connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """Fetch an access token; return it with its `exp` claim (UTC), where it has one.

        Raises:
            BankError
        """
        return api.new_token(connection, credentials)

    def ask(self, connection: HttpClient, kind: str, subject: str, facts: Mapping[str, Any]) -> Answer:
        """Ask for the state of a payment or, where `kind` is `job`, of a background job.

        Raises:
            BankError
        """
        return api.job(connection, subject) if kind == "job" else api.payment(connection, subject)

    def accounts(self, connection: HttpClient) -> Sequence[Account]:
        """Return the accounts that the credentials see, from every page.

        Raises:
            BankError
        """
        return api.accounts(connection)

    def fetch_public_keys(self, connection: HttpClient) -> str | None:
        """Return the bank's public keys as the text of a JWKS (RFC 7517).

        Raises:
            BankError
        """
        return api.public_keys(connection)

    def clock(self, connection: HttpClient) -> datetime | None:
        """Return the bank's time (UTC); to be told it, the API must take the credentials.

        Raises:
            BankError
        """
        return api.clock(connection)

    needed_permissions: Mapping[str, str] = credentials.NEEDED

    def check_addresses(self, text: str) -> str:
        """Return an allow-list of addresses as the bank takes it: addresses and CIDR ranges, or `*` for all.

        Raises:
            AddressesWrong
        """
        return credentials.check_addresses(text)

    def create_credentials(self, connection: HttpClient, key: str, allowed_ips: str | None) -> NewCredentials:
        """Make a new API client; `key` is the idempotency key, a UUID.

        Raises:
            BankError
        """
        return credentials.create(connection, key, allowed_ips)

    def rotate_credentials(self, connection: HttpClient, key: str, client_id: str) -> NewCredentials:
        """Replace a client's secrets, of which the old ones die at once; `key` is the idempotency key, a UUID.

        Raises:
            BankError
        """
        return credentials.rotate(connection, key, client_id)

    def disable_credentials(self, connection: HttpClient, key: str, client_id: str) -> None:
        """Disable an API client for good; `key` is the idempotency key, a UUID.

        Raises:
            BankError
        """
        credentials.disable(connection, key, client_id)

    def permissions(self, connection: HttpClient, client_id: str) -> Sequence[Permission]:
        """Return what an API client may do.

        Raises:
            BankError
        """
        return credentials.permissions(connection, client_id)

    def explain(
        self, callback: Callback, profile: Profile, paths: Sequence[bytes], received_at: datetime
    ) -> Explanation:
        """Find out how a captured callback was signed, by trying every secret in both encodings over each path."""
        return explanation.explain(callback, profile, paths, received_at)


BANK: Bank = Bcb()
