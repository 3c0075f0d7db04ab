"""Banqup: messages to a listener, secured by what a source says, because Banqup's documents do not say by what."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks.banqup import api, callbacks, options
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, Bank, Callback, Carried, Claim, Profile, Proof


class Banqup(Bank):
    """Banqup as the rest of the house sees it."""

    name = "banqup"
    credential_names: tuple[str, ...] = ("client_id", "client_secret")
    hosts: Mapping[str, str] = {"sandbox": "https://api.uat.btx.eu.banqup.com"}
    # Its limits are not known.
    requests = 60
    window_seconds = 60
    # The documents say both 5 and 60 minutes; the answer is read first.
    token_seconds = 300

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a Banqup source's options as they are to be stored.

        Raises:
            OptionsWrong: an option is not known or has a wrong value, or nothing would prove a callback.
        """
        return options.check(given)

    def check_base_url(self, url: str) -> None:
        """Accept an address of the API that is HTTPS.

        Raises:
            OptionsWrong
        """
        options.check_base_url(url)

    def check_secret(self, secret: str, given: Mapping[str, Any]) -> None:
        """Accept a token for the place where callbacks show it: in their path or in a header.

        Raises:
            Refusal: it is unfit for that place, or callbacks show no token.
        """
        options.check_secret(secret, given)

    def proofs(self, given: Mapping[str, Any]) -> Sequence[str]:
        """Return what the source's options ask for: `token`, `address`, or both."""
        listed = ("address",) if options.lists_addresses(given) else ()
        return ("token", *listed) if self.needs_secret(given) else listed

    def needs_secret(self, given: Mapping[str, Any]) -> bool:
        """Tell whether callbacks show a token, so that one must be set."""
        return "token_in" in given

    def carried(self, given: Mapping[str, Any]) -> Carried:
        """Return where callbacks show the token, so that it is redacted there."""
        return options.carried(given)

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """Prove a message by its token, its sender's address, or both; nothing tells how old it is.

        Raises:
            Refusal
        """
        return callbacks.prove(callback, profile)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """Return the claim in a proven message.

        Raises:
            NotUnderstood: it is no JSON object.
        """
        return callbacks.read(proof.content)

    def new_token(self, connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """Fetch an OAuth 2.0 token for the client's credentials; return it with its end (UTC), where that is known.

        Raises:
            BankError
        """
        return api.fetch(connection, credentials)

    def ask(self, connection: HttpClient, kind: str, subject: str, facts: Mapping[str, Any]) -> Answer:
        """Ask for a payment's state, in the space that the source or the messages about it name.

        Raises:
            BankError
        """
        return api.payment(connection, subject, facts)

    def clock(self, connection: HttpClient) -> datetime | None:
        """Return none: the API does not tell the time. That there is a token shows that the credentials are taken."""
        return None

    def register(self, connection: HttpClient, listener_url: str) -> str:
        """Register the address as message listener; return the id that Banqup gives it.

        Raises:
            BankError
        """
        return api.register(connection, listener_url)

    def listener_path(self, given: Mapping[str, Any], secret: str | None) -> str:
        """Return the token as a part of the path, where callbacks show it there; Banqup puts `/messages` behind it."""
        return f"/{secret}" if given.get("token_in") == options.PATH and secret else ""


BANK: Bank = Banqup()
