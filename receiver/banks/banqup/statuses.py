"""Banqup's words for the state of a payment, and ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from receiver.banks import payload

PAYMENT_STATUSES = {"RECEIVED": "pending", "PAID": "completed", "FAILED": "rejected"}

INFORMATIONAL = "INFORMATIONAL"
"""A level of certainty: what is said may still change."""


@dataclass(frozen=True)
class State:
    """What is said of a payment: the bank's word (with its level of certainty where it is not certain), and ours."""

    bank_status: str
    status: str
    word: str


def state(fields: Mapping[str, Any], *, or_status: bool = False) -> State | None:
    """Return what a message or an answer says of a payment: `status.payment`, or else (`or_status`) `status`."""
    for here in (fields, payload.inner(fields, "data")):
        word = payload.text(payload.inner(here, "status"), "payment") or payload.text(here, "status.payment")
        word = word or (payload.text(here, "status") if or_status else None)
        if word is not None:
            level = payload.first(fields, "levelOfCertainty")
            return _state(word, is_certain=level is None or level.upper() != INFORMATIONAL)
    return None


def _state(word: str, *, is_certain: bool) -> State:
    status = PAYMENT_STATUSES.get(word.strip().upper(), "unknown")
    if is_certain:
        return State(word, status, word)
    return State(f"{word} {INFORMATIONAL}", "unknown" if status == "unknown" else "pending", word)
