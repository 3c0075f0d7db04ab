"""Any sender that follows Standard Webhooks 1.0.0. There is no API behind it: what it tells is taken as told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks import options
from receiver.banks.protocol import Bank, Callback, Claim, Profile, Proof
from receiver.banks.standard_webhooks import callbacks
from receiver.signing import standard_webhooks


class StandardWebhooks(Bank):
    """A sender that follows Standard Webhooks, as the rest of the house sees it."""

    name = "standard_webhooks"

    def check_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Take `headers`, `webhook` (default) or `svix`: how they begin; and `allowed_addresses`."""
        return options.check(
            self.name, given, (options.choice("headers", *callbacks.PREFIXES), options.allowed_addresses())
        )

    def check_secret(self, secret: str, options: Mapping[str, Any]) -> None:
        """Accept a signing secret (`whsec_…`, or its Base64 alone) or a public key (`whpk_…`).

        Raises:
            Refusal: it makes no key.
        """
        standard_webhooks.key("new", secret)

    def prove(self, callback: Callback, profile: Profile, now: datetime) -> Proof:
        """Prove a message genuine by one of its signatures, and fresh by its timestamp.

        Raises:
            Refusal
        """
        return callbacks.prove(callback, profile, now)

    def nonce_of(self, callback: Callback) -> str | None:
        """Return what sets one sending of a message apart from any other, unproven; none where a header is missing."""
        return callbacks.nonce_of(callback)

    def read(self, proof: Proof) -> Sequence[Claim]:
        """Return the claim in a proven message: one event, whatever its body holds."""
        return callbacks.read(proof)


BANK: Bank = StandardWebhooks()
