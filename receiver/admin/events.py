"""Events: hand out what a bank sent, and note who was given it; hold one, so that nothing of it is removed."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.admin.audit import note
from receiver.admin.sources import check_bank
from receiver.inbox import payload as payloads
from receiver.model import Gone, NotFound, NotPossible, reason_given
from receiver.runtime import Runtime
from receiver.store import audit, deliveries, events, holds, signing_secrets, sources
from receiver.store.database import retried
from receiver.store.events import EventRecord
from receiver.store.thread_pool import run_in_thread

CONTENTS_MAX = 5
"""Deliveries whose contents are laid side by side."""


def raw(runtime: Runtime, who: str, event_id: str, why: str | None = None) -> bytes:
    """Return the body that first told an event, byte for byte, free of content codings; audited as `payload.read`.

    It is handed out once the entry is on disk: a payload holds personal data, and who read it must be known.

    Raises:
        NotFound: there is no such event.
        NotPossible: the reason is none, or too long.
        Gone: its body is stored no longer.
        StoreUnavailable: the entry can't be written.
    """
    why = None if why is None else reason_given(why)
    with runtime.database.read() as connection:
        found = events.find(connection, event_id)
        body = events.raw(connection, event_id)
    if found is None:
        raise NotFound(f"there is no event {event_id!r}")
    if body is None:
        raise _gone(found)
    about = {"source": found.source, "event": event_id}
    note(runtime, who, "payload.read", about, why)
    return body


class Stored(NamedTuple):
    """An event, and how many bytes the body has that told it first."""

    event: EventRecord
    body_bytes: int


def stored(runtime: Runtime, event_id: str) -> Stored:
    """Return an event whose body is stored.

    Raises:
        NotFound: there is no such event.
        Gone: its body is stored no longer.
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        event = events.find(connection, event_id)
        size = events.raw_bytes(connection, event_id)
    if event is None:
        raise NotFound(f"there is no event {event_id!r}")
    if size is None:
        raise _gone(event)
    return Stored(event, size)


def _gone(event: EventRecord) -> Gone:
    if event.delivery_id is None:
        return Gone(f"no callback has come for the event {event.id}: there is no payload")
    return Gone(f"the payload of the event {event.id} is not stored any more")


def payload(runtime: Runtime, who: str, event_id: str, why: str | None = None) -> str:
    """Return the notification that told an event, decrypted, as JSON with indents; audited as `payload.read`.

    It takes about three times the memory of the body; where others wait for the same memory, bound it.

    Raises:
        NotFound: there is no such event.
        Gone: its body is stored no longer, or no secret that is stored opens it.
        NotPossible: this release does not know its bank; or the reason is none, or too long.
        DecryptionFailed
        StoreUnavailable: the entry can't be written, and nothing is handed out.
    """
    why = None if why is None else reason_given(why)
    event, _ = stored(runtime, event_id)
    assert event.delivery_id is not None  # noqa: S101 - its body is stored
    text = _opened(runtime, event, event.delivery_id)
    note(runtime, who, "payload.read", {"source": event.source, "event": event.id, "decrypted": True}, why)
    return text


class Content(NamedTuple):
    """What one delivery says of an event; `text` is none where that is not stored, or can't be opened any more."""

    delivery_id: str
    received_at: datetime
    text: str | None


def contents(runtime: Runtime, who: str, event_id: str, why: str) -> list[Content]:
    """Return what the first delivery and those that said something else say of an event; audited as `payload.read`.

    Raises:
        NotFound: there is no such event.
        NotPossible: there is no reason.
        StoreUnavailable: the entry can't be written, and nothing is handed out.
    """
    why = reason_given(why)
    with runtime.database.read() as connection:
        event = events.find(connection, event_id)
        came = events.deliveries_of(connection, event_id)
    if event is None:
        raise NotFound(f"there is no event {event_id!r}")
    if not came:
        raise NotFound(f"no callback has come for the event {event_id}")
    differing = [came[0], *[each for each in came[1:] if each.conflict]][:CONTENTS_MAX]
    found = [Content(each.id, each.received_at, _opened_or_none(runtime, event, each.id)) for each in differing]
    about = {"source": event.source, "event": event.id, "deliveries": [each.delivery_id for each in found]}
    note(runtime, who, "payload.read", about, why)
    return found


def _opened_or_none(runtime: Runtime, event: EventRecord, delivery_id: str) -> str | None:
    try:
        return _opened(runtime, event, delivery_id)
    except Gone:
        return None


def _opened(runtime: Runtime, event: EventRecord, delivery_id: str) -> str:
    """Return the notification of an event that a delivery holds; a large one lets others go on meanwhile.

    Raises:
        Gone
        NotPossible: this release does not know its bank.
        DecryptionFailed
    """
    with runtime.database.read() as connection:
        source, row = sources.find(connection, event.source), deliveries.find(connection, delivery_id)
        assert source is not None  # noqa: S101 - an event has a source
        check_bank(source)
        opened = signing_secrets.every(connection, runtime.encryption, source.id)
        identity = events.identity_of(connection, event.id)
    if row is None or row.body is None:
        raise _gone(event)
    secrets = [(str(secret.version), secret.text) for secret in opened]
    # That alone: what reads and writes the database waits for locks, which no native thread may.
    return run_in_thread(payloads.payload, source, secrets, row, bytes(row.body), identity)


@retried
def hold(runtime: Runtime, who: str, event_id: str, why: str) -> EventRecord:
    """Put an event on hold, so that nothing of it is removed (legal hold); audited as `event.held`.

    One that is on hold already stays as it is, and nothing is written down.

    Raises:
        NotFound: there is no such event.
        NotPossible: there is no reason.
        StoreUnavailable
    """
    reason, now = reason_given(why), runtime.clock()
    with runtime.database.write() as connection:
        event = _found(connection, event_id)
        if holds.put(connection, event_id, reason, who, now):
            about = {"source": event.source, "event": event_id}
            audit.write(connection, runtime.encryption, at=now, who=who, what="event.held", about=about, why=reason)
    return event._replace(on_hold=True)


@retried
def release(runtime: Runtime, who: str, event_id: str, why: str | None = None) -> EventRecord:
    """Release an event that was on hold; audited as `event.released`.

    Raises:
        NotFound: there is no such event.
        NotPossible: it is not on hold, or the reason is too long.
        StoreUnavailable
    """
    reason, now = reason_given(why) if why else None, runtime.clock()
    with runtime.database.write() as connection:
        event = _found(connection, event_id)
        if not holds.release(connection, event_id):
            raise NotPossible(f"the event {event_id} is not on hold")
        about = {"source": event.source, "event": event_id}
        audit.write(connection, runtime.encryption, at=now, who=who, what="event.released", about=about, why=reason)
    return event._replace(on_hold=False)


def _found(connection: Connection, event_id: str) -> EventRecord:
    event = events.find(connection, event_id)
    if event is None:
        raise NotFound(f"there is no event {event_id!r}")
    return event
