"""Changes of API credentials, such as a rotation, as they are written down.

The intent is on disk before the bank is asked (write-ahead), the outcome is written together with the new secrets.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, update

from receiver.model import CredentialChangeKind, CredentialChangeState
from receiver.store import sources
from receiver.store.bulk_insert import upsert
from receiver.store.encryption import Encryption
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.sources import SourceRecord
from receiver.store.tables import CredentialChange, table_of

_changes = table_of(CredentialChange)

_is_pending = _changes.c.state == CredentialChangeState.PENDING
_has_previous = _changes.c.previous.is_not(None)

SECRETS_SEEN = timedelta(seconds=10)
"""How long after a change a delivery may still be verified with the secrets of before: it came in before the change was
written down, or its process caches the secrets."""

UNREPORTED = timedelta(hours=24)
"""For so long a change that was done, and that nobody has seen done, is shown in place of making another one."""

ERROR_CHARACTERS = 300


@dataclass(frozen=True)
class Intent:
    """What is to be asked of the bank."""

    kind: CredentialChangeKind
    client_id: str | None
    allowed_ips: str | None
    idempotency_key: str
    requested_by: str
    token: str = field(repr=False)


class ChangeRecord(NamedTuple):
    """A change and how far it has come; `CredentialChange` says what each column holds."""

    id: int
    source_id: int
    kind: CredentialChangeKind
    state: CredentialChangeState
    client_id: str | None
    allowed_ips: str | None
    idempotency_key: str
    token: bytes | None
    """Encrypted."""
    made: bytes | None
    previous: bytes | None
    requested_by: str
    begun_at: datetime
    attempts: int
    due_at: datetime
    error: str | None
    finished_at: datetime | None
    secret_version: int | None
    reported_at: datetime | None
    settled_at: datetime | None


_COLUMNS = columns_of(ChangeRecord, _changes)


def _all() -> Select[Any]:
    return select(*_COLUMNS)


def begin(
    connection: Connection,
    encryption: Encryption,
    source: SourceRecord,
    intent: Intent,
    *,
    now: datetime,
    due_at: datetime,
) -> ChangeRecord | None:
    """Write an intent down as the first attempt; none where another change of the source is pending."""
    sources.lock(connection, source.id)
    # What was set aside for a change before this one is of no use any more, but for what is to be shown yet.
    _forget(connection, source.id, ~_is_shown_yet(now))
    values = {
        **vars(intent),
        "token": _seal(encryption, source, intent, intent.token),
        "source_id": source.id,
        "state": CredentialChangeState.PENDING,
        "begun_at": now,
        "attempts": 1,
        "due_at": due_at,
    }
    statement = upsert(connection, _changes).values(**values).on_conflict_do_nothing()
    return fetch_one(connection, ChangeRecord, statement.returning(*_COLUMNS))


def set_aside(connection: Connection, source_id: int) -> list[ChangeRecord]:
    """Return the changes that hold credentials which the source does not use."""
    query = _all().where(_changes.c.source_id == source_id, or_(_changes.c.made.is_not(None), _has_previous))
    return fetch_all(connection, ChangeRecord, query.order_by(_changes.c.id))


def forget_set_aside(connection: Connection, source_id: int) -> None:
    """Drop the credentials that the source does not use, but for those of an unfinished change."""
    _forget(connection, source_id, ~_is_pending)


def _forget(connection: Connection, source_id: int, which: ColumnElement[bool]) -> None:
    over = update(_changes).where(_changes.c.source_id == source_id, ~_is_pending, which)
    connection.execute(over.where(or_(_changes.c.made.is_not(None), _has_previous)).values(made=None, previous=None))


def _is_shown_yet(now: datetime) -> ColumnElement[bool]:
    """Select clients for other apps that were made and that nobody has seen, for as long as they are told."""
    is_made = and_(_changes.c.state == CredentialChangeState.DONE, _changes.c.made.is_not(None))
    return and_(_changes.c.kind == CredentialChangeKind.ISSUE, is_made, _changes.c.finished_at >= now - UNREPORTED)


def latest(connection: Connection, source_id: int) -> ChangeRecord | None:
    """Return the change of a source that was begun last."""
    query = _all().where(_changes.c.source_id == source_id).order_by(_changes.c.id.desc()).limit(1)
    return fetch_one(connection, ChangeRecord, query)


def every(connection: Connection, source_id: int) -> list[ChangeRecord]:
    """Return all changes of a source, the one that was begun first before the others."""
    return fetch_all(connection, ChangeRecord, _all().where(_changes.c.source_id == source_id).order_by(_changes.c.id))


def pending(connection: Connection, source_id: int) -> ChangeRecord | None:
    """Return the source's unfinished change; the database allows one."""
    return fetch_one(connection, ChangeRecord, _all().where(_changes.c.source_id == source_id, _is_pending))


def due(connection: Connection, now: datetime, longest: timedelta) -> list[ChangeRecord]:
    """Return unfinished changes that may be tried again.

    None waits for longer than `longest`: where it seems so, the clock was wrong when that was written down.
    """
    is_due = or_(_changes.c.due_at <= now, _changes.c.due_at > now + longest)
    query = _all().where(_is_pending, is_due).order_by(_changes.c.due_at)
    return fetch_all(connection, ChangeRecord, query)


def unreported(connection: Connection, source_id: int, kind: str, now: datetime) -> list[ChangeRecord]:
    """Return the latest change if it is of this kind, done a short while ago, and nobody was told so yet.

    Of clients for other apps all that were not shown yet are returned, the newest first: no later change undoes them.
    """
    if kind == CredentialChangeKind.ISSUE:
        query = _all().where(_changes.c.source_id == source_id, _is_shown_yet(now)).order_by(_changes.c.id.desc())
        return fetch_all(connection, ChangeRecord, query)
    change = latest(connection, source_id)
    if change is None or change.kind != kind or change.finished_at is None or change.finished_at < now - UNREPORTED:
        return []
    return [change] if change.state == CredentialChangeState.DONE and change.reported_at is None else []


def supersede(connection: Connection, source_id: int, now: datetime) -> None:
    """Note that other credentials or secrets were set than what changes have brought: nobody is to be told of these.

    What was made for another app is to be shown all the same.
    """
    is_done = (_changes.c.source_id == source_id, _changes.c.state == CredentialChangeState.DONE)
    is_own = _changes.c.kind.in_((CredentialChangeKind.CREATE, CredentialChangeKind.ROTATE))
    unseen = update(_changes).where(*is_done, is_own, _changes.c.reported_at.is_(None))
    connection.execute(unseen.values(reported_at=now))


def find(connection: Connection, change_id: int) -> ChangeRecord:
    """Return one change."""
    return ChangeRecord._make(connection.execute(_all().where(_changes.c.id == change_id)).one())


def lock(connection: Connection, change: ChangeRecord) -> ChangeRecord | None:
    """Return a change for this transaction alone; none where it is not pending any more."""
    sources.lock(connection, change.source_id)
    query = _all().where(_changes.c.id == change.id, _is_pending)
    return fetch_one(connection, ChangeRecord, query.with_for_update(key_share=True))


def lock_answered(connection: Connection, change: ChangeRecord) -> ChangeRecord | None:
    """Return a change for this transaction alone, for the bank's answer to be written down.

    It is pending, or was taken for refused by an attempt, or given up by a person, while another attempt was still on
    its way; none where it ended in another way, or where a later change has been done, whose credentials the answer
    must not take the place of.
    """
    found = lock(connection, change)
    if found is not None:
        return found
    is_later = (_changes.c.source_id == change.source_id, _changes.c.id > change.id)
    done = select(_changes.c.id).where(*is_later, _changes.c.state == CredentialChangeState.DONE)
    if connection.execute(done.limit(1)).first() is not None:
        return None
    is_overtaken = _changes.c.state.in_((CredentialChangeState.REFUSED, CredentialChangeState.ABANDONED))
    query = _all().where(_changes.c.id == change.id, is_overtaken)
    return fetch_one(connection, ChangeRecord, query.with_for_update(key_share=True))


def begin_attempt(connection: Connection, change: ChangeRecord, *, due_at: datetime) -> ChangeRecord | None:
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


def token(encryption: Encryption, source: SourceRecord, change: ChangeRecord) -> str | None:
    """Return the access token that the change is asked for with, at the destination in `source`, which it is bound to.

    Raises:
        DecryptionFailed: also where it was fetched for another destination.
    """
    if change.token is None:
        return None
    return encryption.decrypt(_purpose(source, change), change.token, source.destination)


def made(encryption: Encryption, source: SourceRecord, change: ChangeRecord) -> dict[str, str]:
    """Return the new client's credentials, which the source does not use.

    Raises:
        DecryptionFailed: also where they were made at another destination.
    """
    assert change.made is not None  # noqa: S101 - asked of a change that holds some
    return sources.open_credentials(encryption, source, change.made)


def pin_token(
    connection: Connection, encryption: Encryption, source: SourceRecord, change: ChangeRecord, text: str
) -> None:
    """Store another access token to ask for the change with, encrypted."""
    change_values(connection, change.id, token=_seal(encryption, source, change, text))


def secrets_may_be_newer(connection: Connection, source_id: int, now: datetime) -> bool:
    """Tell whether the bank may sign with a secret that is not, or was not just now, known here."""
    query = select(_changes.c.id).where(
        _changes.c.source_id == source_id,
        _changes.c.kind.in_((CredentialChangeKind.CREATE, CredentialChangeKind.ROTATE)),
        # A client that is made and waits to work has given its secret already.
        or_(
            _is_pending & _changes.c.made.is_(None),
            _changes.c.finished_at.between(now - SECRETS_SEEN, now + SECRETS_SEEN),
        ),
    )
    return connection.execute(query.limit(1)).first() is not None


def unsettled(connection: Connection) -> list[ChangeRecord]:
    """Return changes that are over, and behind which stored deliveries may wait to be verified again."""
    query = _all().where(_changes.c.finished_at.is_not(None), _changes.c.settled_at.is_(None))
    return fetch_all(connection, ChangeRecord, query.order_by(_changes.c.id))


def _seal(encryption: Encryption, source: SourceRecord, change: Intent | ChangeRecord, text: str) -> bytes:
    return encryption.encrypt(_purpose(source, change), text, source.destination)


def _purpose(source: SourceRecord, change: Intent | ChangeRecord) -> str:
    return purpose(source.id, change.kind, change.client_id, change.allowed_ips, change.idempotency_key)


def purpose(source_id: int, kind: str, client_id: str | None, allowed_ips: str | None, idempotency_key: str) -> str:
    """Return what a change's token is sealed for: all that the bank is asked for by it.

    Nobody can therefore have another change made by writing it into the database.
    """
    about = json.dumps([str(kind), client_id, allowed_ips, idempotency_key])
    return f"token of source {source_id} for the change {about}"
