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
        """See `Bank.check_options`."""
        return options.check(given)

    def check_secret(self, secret: str, options: Mapping[str, Any]) -> None:
        """See `Bank.check_secret`."""
        hmac_sha256.key("new", secret, options.get("encoding", "base64"))

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """See `Bank.prove`."""
        return callbacks.prove(callback, profile, now)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """See `Bank.read`."""
        return callbacks.read(proof.content)

    def nonce_of(self, callback: Callback) -> str | None:
        """See `Bank.nonce_of`."""
        return callback.headers.get(callbacks.NONCE, b"").decode("latin-1") or None

    def new_token(self, connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """See `Bank.new_token`."""
        return api.new_token(connection, credentials)

    def ask(self, connection: HttpClient, kind: str, subject: str, facts: Mapping[str, Any]) -> Answer:
        """See `Bank.ask`."""
        return api.job(connection, subject) if kind == "job" else api.payment(connection, subject)

    def accounts(self, connection: HttpClient) -> Sequence[Account]:
        """See `KeepsAccounts.accounts`."""
        return api.accounts(connection)

    def fetch_public_keys(self, connection: HttpClient) -> str | None:
        """See `Bank.fetch_public_keys`."""
        return api.public_keys(connection)

    def clock(self, connection: HttpClient) -> datetime | None:
        """See `Bank.clock`."""
        return api.clock(connection)

    needed_permissions: Mapping[str, str] = credentials.NEEDED

    def check_addresses(self, text: str) -> str:
        """See `IssuesCredentials.check_addresses`."""
        return credentials.check_addresses(text)

    def create_credentials(self, connection: HttpClient, key: str, allowed_ips: str | None) -> NewCredentials:
        """See `IssuesCredentials.create_credentials`."""
        return credentials.create(connection, key, allowed_ips)

    def rotate_credentials(self, connection: HttpClient, key: str, client_id: str) -> NewCredentials:
        """See `IssuesCredentials.rotate_credentials`."""
        return credentials.rotate(connection, key, client_id)

    def disable_credentials(self, connection: HttpClient, key: str, client_id: str) -> None:
        """See `IssuesCredentials.disable_credentials`."""
        credentials.disable(connection, key, client_id)

    def permissions(self, connection: HttpClient, client_id: str) -> Sequence[Permission]:
        """See `IssuesCredentials.permissions`."""
        return credentials.permissions(connection, client_id)

    def explain(
        self, callback: Callback, profile: Profile, paths: Sequence[bytes], received_at: datetime
    ) -> Explanation:
        """See `Explains.explain`."""
        return explanation.explain(callback, profile, paths, received_at)


BANK: Bank = Bcb()
