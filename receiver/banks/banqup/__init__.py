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
        """See `Bank.check_options`."""
        return options.check(given)

    def check_base_url(self, url: str) -> None:
        """See `Bank.check_base_url`."""
        options.check_base_url(url)

    def check_secret(self, secret: str, given: Mapping[str, Any]) -> None:
        """See `Bank.check_secret`."""
        options.check_secret(secret, given)

    def proofs(self, given: Mapping[str, Any]) -> Sequence[str]:
        """See `Bank.proofs`."""
        listed = ("address",) if options.lists_addresses(given) else ()
        return ("token", *listed) if self.needs_secret(given) else listed

    def needs_secret(self, given: Mapping[str, Any]) -> bool:
        """See `Bank.needs_secret`."""
        return "token_in" in given

    def carried(self, given: Mapping[str, Any]) -> Carried:
        """See `Bank.carried`."""
        return options.carried(given)

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """See `Bank.prove`; nothing tells how old a message is."""
        return callbacks.prove(callback, profile)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """See `Bank.read`."""
        return callbacks.read(proof.content)

    def new_token(self, connection: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
        """See `Bank.new_token`."""
        return api.fetch(connection, credentials)

    def ask(self, connection: HttpClient, kind: str, subject: str, facts: Mapping[str, Any]) -> Answer:
        """See `Bank.ask`."""
        return api.payment(connection, subject, facts)

    def clock(self, connection: HttpClient) -> datetime | None:
        """See `Bank.clock`; it tells no time. That there is a token shows that the credentials are taken."""
        return None

    def register(self, connection: HttpClient, listener_url: str) -> str:
        """See `Bank.register`."""
        return api.register(connection, listener_url)

    def listener_path(self, given: Mapping[str, Any], secret: str | None) -> str:
        """See `Bank.listener_path`; Banqup puts `/messages` behind it."""
        return f"/{secret}" if given.get("token_in") == options.PATH and secret else ""


BANK: Bank = Banqup()
