"""ConnectPay: BaaS with integrated SCA. Callbacks show a token and come from known addresses; nothing signs them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks.connectpay import api, callbacks, options
from receiver.banks.connectpay.api import User, UserNeeded, call
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, Bank, Callback, Carried, Claim, Pauses, Profile, Proof
from receiver.signing import static_token

__all__ = ["BANK", "User", "UserNeeded", "call"]


class ConnectPay(Bank):
    """ConnectPay as the rest of the house sees it."""

    name = "connectpay"
    acknowledgement = "OK"
    credential_names: tuple[str, ...] = ("client_key", "client_secret")
    hosts: Mapping[str, str] = {
        "production": "https://api2.connectpay.com",
        "sandbox": "https://api2-stage.connectpay.com",
    }
    # Two a second are recommended. Fixed windows of a second would let four through around their border.
    requests = 1
    window_seconds = 0.5
    token_seconds = 86400
    renews_tokens = False
    # No fixed interval under five minutes, and once or twice a day for what takes long.
    pauses = Pauses(first=5 * 60, longest=12 * 3600)
    silence_means = "after 100 failed callbacks ConnectPay switches them off until its support switches them on again"

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `Bank.check_options`."""
        return options.check(given)

    def check_secret(self, secret: str, options: Mapping[str, Any]) -> None:
        """See `Bank.check_secret`."""
        static_token.check(secret)

    def proofs(self, given: Mapping[str, Any]) -> Sequence[str]:
        """See `Bank.proofs`."""
        return ("token",) if options.takes_any_address(given) else ("token", "address")

    def carried(self, given: Mapping[str, Any]) -> Carried:
        """See `Bank.carried`."""
        return Carried(headers=frozenset({options.token_header(given)}))

    def silence_seconds(self, given: Mapping[str, Any]) -> float | None:
        """See `Bank.silence_seconds`."""
        return options.silence_seconds(given)

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """See `Bank.prove`; nothing tells how old a callback is."""
        return callbacks.prove(callback, profile)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """See `Bank.read`."""
        return callbacks.read(proof)

    def new_token(self, connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """Make the key of the credentials: partner calls show it in place of a token."""
        return api.key(credentials), None

    def authorization(self, token: str, given: Mapping[str, Any]) -> Mapping[str, str]:
        """See `Bank.authorization`."""
        return api.authorization(token, given)

    def ask(self, connection: HttpClient, kind: str, subject: str, facts: Mapping[str, Any]) -> Answer:
        """See `Bank.ask`."""
        return api.payment(connection, subject)

    def clock(self, connection: HttpClient) -> datetime | None:
        """See `Bank.clock`; it tells no time."""
        api.reach(connection)
        return None


BANK: Bank = ConnectPay()
