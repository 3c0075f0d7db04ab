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
        """Return a ConnectPay source's options as they are to be stored.

        Raises:
            OptionsWrong: an option is not known or has a value that is not taken.
        """
        return options.check(given)

    def check_secret(self, secret: str, options: Mapping[str, Any]) -> None:
        """Accept the static token that callbacks show in a header.

        Raises:
            Refusal: it is too short or too long, or holds more than visible ASCII.
        """
        static_token.check(secret)

    def proofs(self, given: Mapping[str, Any]) -> Sequence[str]:
        """Return `token`, and `address` unless the source's list leaves no address out."""
        return ("token",) if options.takes_any_address(given) else ("token", "address")

    def carried(self, given: Mapping[str, Any]) -> Carried:
        """Return the header in which callbacks show the token, so that it is redacted there."""
        return Carried(headers=frozenset({options.token_header(given)}))

    def silence_seconds(self, given: Mapping[str, Any]) -> float | None:
        """Return after how many seconds without a callback staff are warned; none for never."""
        return options.silence_seconds(given)

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """Prove a callback by its token and its sender's address; nothing tells how old it is.

        Raises:
            Refusal
        """
        return callbacks.prove(callback, profile)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """Return the claim in a proven callback.

        Raises:
            NotUnderstood
        """
        return callbacks.read(proof)

    def new_token(self, connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """Make the key of the credentials: partner calls show it in place of a token."""
        return api.key(credentials), None

    def authorization(self, token: str, given: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the headers that show the API's key, bare or behind `Basic `, as the source's option says."""
        return api.authorization(token, given)

    def ask(self, connection: HttpClient, kind: str, subject: str, facts: Mapping[str, Any]) -> Answer:
        """Ask for the status of a payment order.

        Raises:
            BankError
        """
        return api.payment(connection, subject)

    def clock(self, connection: HttpClient) -> datetime | None:
        """Make a call that shows that the API takes the key; return none, because it does not tell the time.

        Raises:
            BankError
        """
        api.reach(connection)
        return None


BANK: Bank = ConnectPay()
