"""The audit log: who did what, why and when. It is only ever added to, and what was done behind its back shows.

Each entry carries a digest (HMAC-SHA256) over itself and the digest before it, so the entries are a chain; one row, the
head, counts them, names the newest digest and is keyed likewise. Whoever can write the database, but has none of
RECEIVER_SECRET_KEYS, can neither change, add nor take away an entry without `verify` finding it. What remains is to put
a whole older state back: a digest that was noted elsewhere (an anchor) shows that.

The key is derived from the first of RECEIVER_SECRET_KEYS and stored, encrypted, under the name that each entry carries;
so it is still there to verify with when its secret key has been rotated out. Entries without the name of a key are from
releases that had none: a plain hash chain, which the first keyed digest closes.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, false, insert, select, text, update

from receiver.model import ReceiverError
from receiver.store.bulk_insert import BulkInsert
from receiver.store.digest_keys import DigestKeys
from receiver.store.encryption import Encryption
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import AuditEntry, AuditHead, AuditSubject, table_of

log = logging.getLogger(__name__)

_entries, _head, _subjects = (table_of(model) for model in (AuditEntry, AuditHead, AuditSubject))

PURPOSE = "audit log"
"""What its keys are derived for."""

READ_AT_ONCE = 1000
PAUSE_EVERY = 100

SUBJECTS = {
    **{name: name for name in ("event", "delivery", "payment", "job", "exception", "replay", "consumer", "source")},
    "events": "event",
    "deliveries": "delivery",
    "late_deliveries": "delivery",
}
"""What of an entry's `about` it is found by, and what that is."""

SUBJECTS_MAX = 200
"""Of one entry."""

_insert_subjects = BulkInsert(_subjects, ("entry_id", "name", "value"))


class AuditBroken(ReceiverError):
    """The log is not as it was written: an entry, or the head, was changed, added or taken away since."""


class AuditRecord(NamedTuple):
    """One entry of the log; `at` is UTC, `about` is what it was done to, `key` names what `digest` is made with."""

    id: int
    at: datetime
    who: str
    what: str
    why: str | None
    about: dict[str, Any]
    key: str | None
    digest: str


class AuditState(NamedTuple):
    """How far the log has come."""

    entries: int
    digest: str | None
    """Of the newest entry; none where the log is empty. Noted elsewhere, it is an anchor for `verify`."""


class _Head(NamedTuple):
    entries: int
    digest: str | None
    key: str
    mac: str


def write(
    connection: Connection,
    encryption: Encryption,
    *,
    at: datetime,
    who: str,
    what: str,
    about: Mapping[str, Any],
    why: str | None = None,
) -> None:
    """Add an entry in the caller's transaction: what is logged and the log of it are stored or lost together.

    Where the head was tampered with, it is left as it is, so that `verify` goes on finding it.

    Raises:
        DecryptionFailed: the head is made with a key that none of RECEIVER_SECRET_KEYS opens.
    """
    if connection.dialect.name == "postgresql":
        # Writers take turns, so that each entry is bound to the one before it. The number is this project's own.
        connection.execute(text("SELECT pg_advisory_xact_lock(7236102)"))
    keys = DigestKeys(connection, encryption, PURPOSE)
    key = keys.current(at)
    state = _trusted_head(connection, keys)
    before = _newest_digest(connection) if state is None else state.digest
    digest = _digest(before, at, who, what, why, about, key, keys)
    values = {"at": at, "who": who, "what": what, "why": why, "about": dict(about), "key": key, "digest": digest}
    entry_id: int = connection.execute(insert(_entries).values(values).returning(_entries.c.id)).scalar_one()
    _insert_subjects.run(connection, [(entry_id, *subject) for subject in subjects_of(about)])
    if state is None:
        log.error("the audit log was tampered with: run `receiver audit verify`")
    else:
        _put_head(connection, keys, key, AuditState(state.entries + 1, digest))


def subjects_of(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what an entry is about, each by what it is and which one."""
    found = []
    for written, name in SUBJECTS.items():
        value = about.get(written)
        found += [(name, each) for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
    return list(dict.fromkeys(found))[:SUBJECTS_MAX]


def start(connection: Connection, encryption: Encryption, at: datetime) -> None:
    """Make the head over the entries that there are, in the migration that makes its table."""
    keys = DigestKeys(connection, encryption, PURPOSE)
    number = sum(1 for _ in connection.execute(select(_entries.c.id)))
    connection.execute(insert(_head).values(id=1, entries=0, key="", mac=""))
    _put_head(connection, keys, keys.current(at), AuditState(number, _newest_digest(connection)))


def _all() -> Select[Any]:
    return select(*columns_of(AuditRecord, _entries))


class AuditFilter(NamedTuple):
    """Which entries are wanted: those that fit all that is given."""

    who: str | None = None
    what: str | None = None
    """The whole word, such as `secret.set`; or its beginning with the dot, such as `secret.`."""
    after: datetime | None = None
    """At this time or later."""
    before: datetime | None = None


def listing(
    connection: Connection, *, below: int | None = None, limit: int, only: AuditFilter | None = None
) -> list[AuditRecord]:
    """Return entries, newest first; `below` is the number to go on from."""
    bounds = _bounds(connection, only or AuditFilter(), below)
    if only is None or only.what is None or not only.what.endswith("."):
        where = [] if only is None or only.what is None else [_entries.c.what == only.what]
        return _newest(connection, [*bounds, *where], limit)
    # Each word is read in order from its own index: a range of words would have to be sorted whole.
    words = _words(connection, only.what)
    parts = [_newest(connection, [*bounds, _entries.c.what == word], limit) for word in words]
    return sorted((row for part in parts for row in part), key=lambda row: row.id, reverse=True)[:limit]


def about(connection: Connection, name: str, value: str, *, limit: int) -> list[AuditRecord]:
    """Return the latest entries about one thing, such as `event` and its id, oldest first."""
    ids = (
        select(_subjects.c.entry_id)
        .where(_subjects.c.name == name, _subjects.c.value == value)
        .order_by(_subjects.c.entry_id.desc())
        .limit(limit)
        .subquery()
    )
    return fetch_all(connection, AuditRecord, _all().where(_entries.c.id.in_(select(ids))).order_by(_entries.c.id))


def latest(connection: Connection, what: str, name: str, value: str) -> AuditRecord | None:
    """Return when something was done last to one thing, such as `consumer` and its name; none where it never was."""
    ids = select(_subjects.c.entry_id).where(_subjects.c.name == name, _subjects.c.value == value)
    found = _newest(connection, [_entries.c.what == what, _entries.c.id.in_(ids)], 1)
    return found[0] if found else None


def _newest(connection: Connection, where: Sequence[ColumnElement[bool]], limit: int) -> list[AuditRecord]:
    return fetch_all(connection, AuditRecord, _all().where(*where).order_by(_entries.c.id.desc()).limit(limit))


def _bounds(connection: Connection, only: AuditFilter, below: int | None) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter but for the word; times become numbers, since entries stand in their order."""
    by_time = select(_entries.c.id)
    bounds = [] if below is None else [_entries.c.id < below]
    if only.who is not None:
        bounds.append(_entries.c.who == only.who)
    if only.after is not None:
        later = by_time.where(_entries.c.at >= only.after).order_by(_entries.c.at, _entries.c.id).limit(1)
        first = connection.execute(later).scalar()
        bounds.append(false() if first is None else _entries.c.id >= first)
    if only.before is not None:
        earlier = by_time.where(_entries.c.at < only.before).order_by(_entries.c.at.desc(), _entries.c.id.desc())
        last = connection.execute(earlier.limit(1)).scalar()
        bounds.append(false() if last is None else _entries.c.id <= last)
    return bounds


def _words(connection: Connection, beginning: str) -> list[str]:
    """Return what was done, each word once, found by going from one to the next in the index (loose index scan)."""
    found: list[str] = []
    behind = beginning
    while word := connection.execute(
        select(_entries.c.what).where(_entries.c.what > behind).order_by(_entries.c.what).limit(1)
    ).scalar():
        if not word.startswith(beginning):
            break
        found.append(word)
        behind = word
    return found


def words(connection: Connection) -> list[str]:
    """Return all that was ever done, each word once."""
    return _words(connection, "")


def oldest_first(connection: Connection) -> Iterator[AuditRecord]:
    """Go through all entries, some at a time."""
    after = 0
    while rows := oldest(connection, after, READ_AT_ONCE):
        yield from rows
        after = rows[-1].id


def oldest(connection: Connection, after: int, limit: int) -> list[AuditRecord]:
    """Return the entries behind one, the oldest first."""
    query = _all().where(_entries.c.id > after).order_by(_entries.c.id).limit(limit)
    return fetch_all(connection, AuditRecord, query)


def state(connection: Connection) -> AuditState | None:
    """Return what the head says, unverified; none where it is gone."""
    return fetch_one(connection, AuditState, select(*columns_of(AuditState, _head)))


def verify(
    connection: Connection,
    encryption: Encryption,
    anchor: str | None = None,
    *,
    pause: Callable[[], None] = lambda: None,
) -> AuditState:
    """Check every entry against the one before it, and the newest against the head; return how far the log has come.

    `anchor` is the digest of an entry, noted elsewhere at an earlier time, that the log must hold. `pause` is called
    every hundred entries, so that others have their turn.

    Raises:
        AuditBroken: naming the first thing that does not fit.
        DecryptionFailed: none of RECEIVER_SECRET_KEYS opens a key that entries are made with.
    """
    keys = DigestKeys(connection, encryption, PURPOSE)
    before: AuditRecord | None = None
    number, anchored = 0, anchor is None
    for entry in oldest_first(connection):
        _check_entry(entry, before, keys)
        before, number = entry, number + 1
        if number % PAUSE_EVERY == 0:
            pause()
        anchored = anchored or entry.digest == anchor
    found = AuditState(number, before.digest if before else None)
    _check_head(connection, keys, found)
    if not anchored:
        raise AuditBroken(
            f"no entry has the digest {anchor}: an older state of the log was put back, or it is another database's"
        )
    return found


def _check_entry(entry: AuditRecord, before: AuditRecord | None, keys: DigestKeys) -> None:
    if entry.key is None and before is not None and before.key is not None:
        raise AuditBroken(f"entry {entry.id} names no key: it was added behind the log's back")
    if entry.key is not None and not keys.knows(entry.key):
        raise AuditBroken(f"entry {entry.id} is made with the key {entry.key!r}, which is gone: it was taken out")
    expected = _digest(before.digest if before else None, *entry[1:-1], keys)
    if not hmac.compare_digest(expected.encode(), entry.digest.encode()):
        raise AuditBroken(
            f"entry {entry.id} does not fit the one before it: one of them was changed, added or taken out"
        )


def _check_head(connection: Connection, keys: DigestKeys, found: AuditState) -> None:
    head = _trusted_head(connection, keys)
    if head is None:
        raise AuditBroken("the head row, which counts the entries, was changed or taken out")
    if head == found:
        return
    if head.entries > found.entries:
        raise AuditBroken(f"{head.entries} entries were written and {found.entries} are there: the newest are gone")
    raise AuditBroken(
        f"{head.entries} entries were written, and {found.entries} are there, the newest of which is not the one that "
        "was written last"
    )


def _newest_digest(connection: Connection) -> str | None:
    found: str | None = connection.execute(select(_entries.c.digest).order_by(_entries.c.id.desc()).limit(1)).scalar()
    return found


def _trusted_head(connection: Connection, keys: DigestKeys) -> AuditState | None:
    """Return what the head says; none where it is not there, or not as it was written."""
    head = fetch_one(connection, _Head, select(*columns_of(_Head, _head)))
    if head is None or not keys.knows(head.key):
        return None
    state = AuditState(head.entries, head.digest)
    expected = keys.mac(head.key, _canonical(["head", *state]))
    return state if hmac.compare_digest(expected.encode(), head.mac.encode()) else None


def _put_head(connection: Connection, keys: DigestKeys, key: str, state: AuditState) -> None:
    mac = keys.mac(key, _canonical(["head", *state]))
    connection.execute(update(_head).values(**state._asdict(), key=key, mac=mac))


def _digest(
    before: str | None,
    at: datetime,
    who: str,
    what: str,
    why: str | None,
    about: Mapping[str, Any],
    key: str | None,
    keys: DigestKeys,
) -> str:
    content = [before, at.astimezone(UTC).isoformat(), who, what, why, dict(about)]
    if key is None:
        return hashlib.sha256(_canonical(content)).hexdigest()
    return keys.mac(key, _canonical(["entry", *content]))


def _canonical(content: list[Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
