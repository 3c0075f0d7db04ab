"""Events: hand out what a bank sent, and note who was given it."""

from typing import NamedTuple

from receiver.admin.audit import note
from receiver.inbox import payload as payloads
from receiver.model import Gone, NotFound
from receiver.runtime import Runtime
from receiver.store import deliveries, events, signing_secrets, sources
from receiver.store.events import EventRecord


def raw(runtime: Runtime, who: str, event_id: str) -> bytes:
    """Return the body that first told an event, byte for byte, free of content codings; audited as `payload.read`.

    It is handed out once the entry is on disk: a payload holds personal data, and who read it must be known.

    Raises:
        NotFound: there is no such event, or its body is not stored.
        StoreUnavailable: the entry can't be written.
    """
    with runtime.database.read() as connection:
        found = events.find(connection, event_id)
        body = events.raw(connection, event_id)
    if found is None:
        raise NotFound(f"there is no event {event_id!r}")
    if body is None:
        raise NotFound(f"the raw payload of the event {event_id} is not kept")
    about = {"source": found.source, "event": event_id}
    note(runtime, who, "payload.read", about)
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
        raise Gone(f"the payload of the event {event_id} is not stored any more")
    return Stored(event, size)


def payload(runtime: Runtime, who: str, event_id: str) -> str:
    """Return the notification that told an event, decrypted, as JSON with indents; audited as `payload.read`.

    It takes about three times the memory of the body; where others wait for the same memory, bound it.

    Raises:
        NotFound: there is no such event.
        Gone: its body is stored no longer, or no secret that is stored opens it.
        DecryptionFailed
        StoreUnavailable: the entry can't be written, and nothing is handed out.
    """
    event, _ = stored(runtime, event_id)
    with runtime.database.read() as connection:
        source, row = sources.find(connection, event.source), deliveries.find(connection, event.delivery_id)
        assert source is not None  # noqa: S101 - an event has a source
        opened = signing_secrets.every(connection, runtime.encryption, source.id)
        identity = events.identity_of(connection, event.id)
    if row is None or row.body is None:
        raise Gone(f"the payload of the event {event_id} is not stored any more")
    secrets = [(str(secret.version), secret.text) for secret in opened]
    text = payloads.payload(source, secrets, row, bytes(row.body), identity)
    note(runtime, who, "payload.read", {"source": event.source, "event": event.id, "decrypted": True})
    return text
