"""Changes of API credentials: the intent is on disk before the bank is asked, the outcome with the new secrets."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from receiver.store import sources
from receiver.store.bulk_insert import upsert
from receiver.store.encryption import Encryption
from receiver.store.tables import CredentialChange, table_of

_changes = table_of(CredentialChange)

PENDING = "pending"

SECRETS_SEEN = timedelta(seconds=10)
"""How long after a change a delivery may still be held against the secrets of before: it came in before the change
was written down, or its process looks at the secrets once in a while."""

ERROR_CHARACTERS = 300


@dataclass(frozen=True)
class Intent:
    """What is to be asked of the bank."""

    kind: str
    client_id: str | None
    allowed_ips: str | None
    idempotency_key: str
    requested_by: str
    token: str = field(repr=False)


def begin(
    connection: Connection, encryption: Encryption, source_id: int, intent: Intent, *, now: datetime, due_at: datetime
) -> Row[Any] | None:
    """Write an intent down as the first attempt; none where another change of the source is pending."""
    sources.lock(connection, source_id)
    values = dict(vars(intent), source_id=source_id, state=PENDING, begun_at=now, attempts=1, due_at=due_at)
    values["token"] = encryption.encrypt(_purpose(intent.idempotency_key), intent.token)
    statement = upsert(connection, _changes).values(**values).on_conflict_do_nothing()
    return connection.execute(statement.returning(_changes)).one_or_none()


def pending(connection: Connection, source_id: int) -> Row[Any] | None:
    """Return the source's unfinished change."""
    query = select(_changes).where(_changes.c.source_id == source_id, _changes.c.state == PENDING)
    return connection.execute(query).one_or_none()


def due(connection: Connection, now: datetime) -> list[Row[Any]]:
    """Return unfinished changes that may be tried again."""
    query = select(_changes).where(_changes.c.state == PENDING, _changes.c.due_at <= now)
    return list(connection.execute(query.order_by(_changes.c.due_at)))


def unreported(connection: Connection, source_id: int, kind: str, *, since: datetime) -> Row[Any] | None:
    """Return the latest change if it is of this kind, done since then, and nobody was told so yet."""
    query = select(_changes).where(_changes.c.source_id == source_id).order_by(_changes.c.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None or row.kind != kind or row.state != "done" or row.reported_at is not None:
        return None
    return row if row.finished_at >= since else None


def find(connection: Connection, change_id: int) -> Row[Any]:
    """Return one change."""
    return connection.execute(select(_changes).where(_changes.c.id == change_id)).one()


def lock(connection: Connection, change: Row[Any]) -> Row[Any] | None:
    """Return a change for this transaction alone; none where it is not pending any more."""
    sources.lock(connection, change.source_id)
    query = select(_changes).where(_changes.c.id == change.id, _changes.c.state == PENDING)
    return connection.execute(query.with_for_update()).one_or_none()


def begin_attempt(connection: Connection, change: Row[Any], *, due_at: datetime) -> Row[Any] | None:
    """Count one more attempt before it is made; none where the change is not pending any more."""
    found = lock(connection, change)
    if found is None:
        return None
    change_values(connection, change.id, attempts=found.attempts + 1, due_at=due_at)
    return find(connection, change.id)


def change_values(connection: Connection, change_id: int, **values: Any) -> None:
    """Set columns of a change."""
    if error := values.get("error"):
        values["error"] = error[:ERROR_CHARACTERS]
    connection.execute(update(_changes).where(_changes.c.id == change_id).values(**values))


def token(encryption: Encryption, change: Row[Any]) -> str | None:
    """Return the access token that the change is asked for with.

    Raises:
        DecryptionFailed
    """
    return None if change.token is None else encryption.decrypt(_purpose(change.idempotency_key), change.token)


def pin_token(connection: Connection, encryption: Encryption, change: Row[Any], text: str) -> None:
    """Keep another access token for the change."""
    change_values(connection, change.id, token=encryption.encrypt(_purpose(change.idempotency_key), text))


def secrets_may_be_newer(connection: Connection, source_id: int, now: datetime) -> bool:
    """Tell whether the bank may sign with a secret that is not, or was not just now, known here."""
    open_or_fresh = or_(_changes.c.state == PENDING, _changes.c.finished_at > now - SECRETS_SEEN)
    query = select(_changes.c.id).where(_changes.c.source_id == source_id, _changes.c.kind != "disable", open_or_fresh)
    return connection.execute(query.limit(1)).first() is not None


def unsettled(connection: Connection) -> list[Row[Any]]:
    """Return changes that are over, and behind which kept deliveries may wait to be verified again."""
    query = select(_changes).where(_changes.c.finished_at.is_not(None), _changes.c.settled_at.is_(None))
    return list(connection.execute(query.order_by(_changes.c.id)))


def _purpose(idempotency_key: str) -> str:
    return f"token for the change {idempotency_key}"
