"""Banking Circle's words for states, and ours. What is not listed is `unknown`, which is not final."""

from collections.abc import Sequence
from datetime import timedelta

PAYMENT_STATUSES = {
    "pendingprocessing": "pending",
    "pendingapproval": "pending",
    "approved": "pending",
    "scapending": "pending",
    "missingfunding": "pending",
    "hold": "pending",
    "pendingcancellation": "pending",
    "pendingcancellationapproval": "pending",
    "processed": "completed",
    "rejected": "rejected",
    "cancelled": "cancelled",
    "reversed": "reversed",
    "declinedbyapprover": "rejected",
    "scaexpired": "rejected",
    "scafailed": "rejected",
    "scadeclined": "rejected",
}

_MAY_CHANGE = frozenset({"processed", "declinedbyapprover", "scaexpired", "scafailed", "scadeclined"})
"""`Processed` can still become `Reversed`; whether the others are final is not stated."""

LATER = tuple(timedelta(days=days) for days in (1, 3, 7, 14, 30))
"""A reversal is rare and comes late, so a look costs more than it finds: dense at first, ended after a month."""


def payment_status(bank_status: str) -> str:
    """Return our word for a payment's state."""
    return PAYMENT_STATUSES.get(bank_status.strip().lower(), "unknown")


def looked_at_again(bank_status: str) -> Sequence[timedelta]:
    """Return when to look again at a final state that may change all the same."""
    return LATER if bank_status.strip().lower() in _MAY_CHANGE else ()
