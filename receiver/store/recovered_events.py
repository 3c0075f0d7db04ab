"""Writing an event for what a sweep found: no callback proves it, and it is never shown as if one did.

All that follows from one is written with it: its entry in the feed, the question to the bank, and the exception.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection

from receiver.model import ExceptionKind, OwnType, ProofStrength, SubjectKind
from receiver.store import bank_lines, claims, exceptions, outbox, particulars, recoveries
from receiver.store.bank_lines import LineRecord
from receiver.store.bulk_insert import BulkInsert, RowValues
from receiver.store.claims import NewClaim
from receiver.store.exceptions import Opened
from receiver.store.outbox import NewEntry
from receiver.store.particulars import ACCOUNTS, REFERENCES
from receiver.store.records import NewEvent, new_id
from receiver.store.tables import Event, table_of

SWEEP = "sweep"
"""What found such an event."""

_insert_events = BulkInsert(
    table_of(Event),
    (
        *NewEvent._fields,
        *("source_id", "received_at", "payload_sha256", "proof_key", "conflict", "found_by"),
    ),
).run


def make(connection: Connection, lines: Sequence[LineRecord], now: datetime) -> set[date]:
    """Make an event of each of these lines, in the caller's transaction, which holds them locked; return their days.

    Nothing proves it. The feed gets one entry for each, what it is about becomes due to be asked about, and a person is
    to look at it.
    """
    made = [(_event_of(line, now), line) for line in lines]
    _insert_events(connection, [_row(event, line, now) for event, line in made])
    days: set[date] = set()
    for event, line in made:
        days |= bank_lines.join(connection, line.id, line.list_name, event.id)
    outbox.append_all(connection, [_entry(event, line, now) for event, line in made])
    claims.make_due(connection, [_claim(event, line, now) for event, line in made if event.kind != SubjectKind.NONE])
    exceptions.open_all(connection, [_opened(event, line) for event, line in made], now)
    recoveries.await_callbacks(connection, {line.id: event.id for event, line in made})
    return days


def _event_of(line: LineRecord, now: datetime) -> NewEvent:
    kind = SubjectKind.PAYMENT if line.payment_id else SubjectKind.REFERENCE if line.reference else SubjectKind.NONE
    return NewEvent(
        id=new_id("evt", now),
        identity=hashlib.sha256(json.dumps([SWEEP, line.identity]).encode()).digest(),
        content_sha256=_digest(line),
        type=line.type,
        kind=kind,
        subject=line.payment_id or line.reference,
        payment_id=line.payment_id,
        # To be listed proves no status: the bank is asked for that.
        claimed_status=None,
        amount=line.amount,
        currency=line.currency,
        facts=_facts(line),
        proof=ProofStrength.NONE,
    )


def _digest(line: LineRecord) -> str:
    """Return the SHA-256 of what the bank's list says, as JSON."""
    said = {name: value for name, value in line._asdict().items() if name not in ("id", "source_id", "event_id")}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _facts(line: LineRecord) -> dict[str, Any]:
    """Return what else the list told, by the names that facts of callbacks have."""
    facts = {**line.detail, "direction": line.direction, "bank_status": line.bank_status}
    if not any(name in facts for name in ACCOUNTS):
        facts["account_number"] = line.account
    if not any(name in facts for name in REFERENCES):
        facts["reference"] = line.reference
    if line.bank_time is not None:
        facts["bank_time"] = line.bank_time.isoformat()
    return {name: value for name, value in facts.items() if value is not None}


def _row(event: NewEvent, line: LineRecord, now: datetime) -> RowValues:
    return (*event, line.source_id, now, event.content_sha256, "", False, SWEEP)


def _entry(event: NewEvent, line: LineRecord, now: datetime) -> NewEntry:
    said = {
        "payment_id": line.payment_id,
        "type": line.type,
        "bank_status": line.bank_status,
        "amount": line.amount,
        "currency": line.currency,
        "account": line.account,
        "direction": line.direction,
        "reference": line.reference or next(iter(particulars.texts(event.facts, REFERENCES)), None),
        "bank_time": None if line.bank_time is None else line.bank_time.isoformat().replace("+00:00", "Z"),
        "proof": str(ProofStrength.NONE),
        "found_by": SWEEP,
    }
    data = {name: value for name, value in said.items() if value is not None or name == "payment_id"}
    return NewEntry(OwnType.PAYMENT_RECOVERED, line.source_id, event.subject, event.id, data, now)


def _claim(event: NewEvent, line: LineRecord, now: datetime) -> NewClaim:
    subject = event.subject or ""
    return NewClaim(line.source_id, event.kind, subject, None, line.amount, line.currency, event.id, now)


def _opened(event: NewEvent, line: LineRecord) -> Opened:
    words = "a sweep found it at the bank, and no callback has come"
    return Opened(
        ExceptionKind.RECOVERED,
        line.source_id,
        "event",
        event.id,
        event_id=event.id,
        amount=line.amount,
        currency=line.currency,
        detail=words,
    )
