"""What is known of a payment besides its state, so that who acts on it needs no second call: worth, account, names."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from receiver.store import events
from receiver.store.tables import Subject, table_of

_subjects = table_of(Subject)

DIRECTIONS = {
    **dict.fromkeys(("credit", "crdt", "incoming", "incoming_payment"), "incoming"),
    **dict.fromkeys(("debit", "dbit", "outgoing", "outgoing_payment"), "outgoing"),
}
"""What banks say of where the money goes, in lower case, and our word for it."""

ACCOUNTS = ("account_number", "iban", "account_id")
REFERENCES = ("reference", "external_reference", "end_to_end_id", "transaction_reference")
"""The facts of events that tell it, by whichever name a bank's package gives them; the first that is there counts."""


def of_subject(connection: Connection, source_id: int, kind: str, subject: str) -> dict[str, Any]:
    """Return amount, currency, account, direction (`incoming`, `outgoing`) and reference, each where it is known."""
    row = connection.execute(
        select(_subjects.c.amount, _subjects.c.currency).where(
            _subjects.c.source_id == source_id, _subjects.c.kind == kind, _subjects.c.subject == subject
        )
    ).one_or_none()
    worth = {"amount": row.amount, "currency": row.currency} if row is not None else {}
    found = worth | of_facts(events.facts_about(connection, source_id, subject))
    return {name: value for name, value in found.items() if value is not None}


def of_facts(facts: Mapping[str, Any]) -> dict[str, str | None]:
    """Return account, direction (`incoming`, `outgoing`) and reference, as the facts of an event tell them."""
    return {
        "account": next(iter(texts(facts, ACCOUNTS)), None),
        "direction": direction(facts),
        "reference": next(iter(texts(facts, REFERENCES)), None),
    }


def texts(facts: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Return the facts of these names that are texts, in the order of the names."""
    return [value for name in names if isinstance(value := facts.get(name), str)]


def direction(facts: Mapping[str, Any]) -> str | None:
    """Return where the money goes: `incoming`, `outgoing`; none where that is not known."""
    return DIRECTIONS.get(str(facts.get("direction") or facts.get("classification") or "").lower())
