"""Events: hand out what a bank sent, and note who was given it."""

from receiver.admin.audit import note
from receiver.model import NotFound
from receiver.runtime import Runtime
from receiver.store import events


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
