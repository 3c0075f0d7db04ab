"""The people who use the staff pages, and their sessions, stored so that the database alone lets nobody in.

A person's password hash is encrypted and bound to all that decides what they may do, and a session's cookie is stored
as a keyed digest: whoever can write here, but has none of RECEIVER_SECRET_KEYS, lets nobody in, and gives no role.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, insert, select, update

from receiver.model import ReceiverError, Role
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.records import SKEW, columns_of, fetch_all, fetch_one
from receiver.store.tables import StaffForm, StaffSession, StaffUser, table_of

_users, _sessions, _forms = (table_of(model) for model in (StaffUser, StaffSession, StaffForm))

SESSION_LIFE = timedelta(hours=12)
IDLE_LIFE = timedelta(minutes=30)

SEEN_NOTED_EVERY = timedelta(minutes=1)
"""That a session is used is written down at most this often, so that looking at a page does not become writing."""

ENDED_SHOWN = timedelta(days=30)
"""For how long a session that has ended is stored."""


class StaffExists(ReceiverError):
    """There is a person of this name already."""


class StaffRecord(NamedTuple):
    """A person, without what proves them; times are UTC."""

    id: int
    name: str
    role: Role
    payloads: bool
    """Whether they may read what a bank sent."""
    issuer: str | None
    subject: str | None
    created_at: datetime
    password_at: datetime | None
    disabled_at: datetime | None
    signed_in_at: datetime | None


class SessionRecord(NamedTuple):
    """One browser that somebody is, or was, signed in with; times are UTC."""

    id: int
    user_id: int
    address: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether it still lets somebody in; one that a clock dated which was ahead does not."""
        is_of_now = self.expires_at <= now + SESSION_LIFE + SKEW and self.seen_at <= now + SKEW
        return self.ended_at is None and is_of_now and now < self.expires_at and now - self.seen_at < IDLE_LIFE


_ALL = select(*columns_of(StaffRecord, _users))


def add(
    connection: Connection,
    encryption: Encryption,
    *,
    name: str,
    role: Role,
    payloads: bool,
    now: datetime,
    password_hash: str | None = None,
    identity: tuple[str, str] | None = None,
) -> StaffRecord:
    """Add a person with a password, or with an identity: a provider, and how it calls them.

    Raises:
        StaffExists
    """
    issuer, subject = identity or (None, None)
    password_at = now if password_hash is not None else None
    made = StaffRecord(0, name, role, payloads, issuer, subject, now, password_at, None, None)
    row = {field: value for field, value in made._asdict().items() if field != "id"}
    row["sealed"] = _seal(encryption, made, password_hash)
    if not insert_or_skip(connection, _users, ["name"], row):
        raise StaffExists(f"there is a person {name!r} already")
    found = named(connection, name)
    assert found is not None  # noqa: S101 - it was made just now
    return found


def named(connection: Connection, name: str) -> StaffRecord | None:
    """Return the person of this name, a disabled one too."""
    return fetch_one(connection, StaffRecord, _ALL.where(_users.c.name == name))


def locked(connection: Connection, name: str) -> StaffRecord | None:
    """Return the person of this name, and make other writers about them wait until the transaction ends."""
    return locked_by_name(connection, [name]).get(name)


def locked_by_name(connection: Connection, names: Collection[str]) -> dict[str, StaffRecord]:
    """Do what `locked` does with several people, always in the same order, so that no two wait for each other."""
    query = _ALL.where(_users.c.name.in_(names)).order_by(_users.c.id).with_for_update(key_share=True)
    return {person.name: person for person in fetch_all(connection, StaffRecord, query)}


def identified(connection: Connection, issuer: str, subject: str) -> StaffRecord | None:
    """Return whom an OpenID Connect provider calls `subject`, and have other writers wait as `locked` does."""
    query = _ALL.where(_users.c.issuer == issuer, _users.c.subject == subject).with_for_update(key_share=True)
    return fetch_one(connection, StaffRecord, query)


def every(connection: Connection) -> list[StaffRecord]:
    """Return all people by name, disabled ones too."""
    return fetch_all(connection, StaffRecord, _ALL.order_by(_users.c.name))


def is_anybody(connection: Connection) -> bool:
    """Tell whether there is anybody who may sign in."""
    return connection.execute(select(_users.c.id).where(_users.c.disabled_at.is_(None)).limit(1)).first() is not None


def password_hash(connection: Connection, encryption: Encryption, person: StaffRecord) -> str | None:
    """Return what a person's password is held against; none for whom a provider vouches for.

    Raises:
        DecryptionFailed: no key opens it, or what stands beside it was changed in the database itself.
    """
    sealed = connection.execute(select(_users.c.sealed).where(_users.c.id == person.id)).scalar_one()
    return encryption.decrypt(_PURPOSE, bytes(sealed), _standing(person)) or None


def change(connection: Connection, encryption: Encryption, person: StaffRecord, changed: StaffRecord) -> None:
    """Make a person, who is locked by this transaction, another in what they may do, and in nothing else.

    Raises:
        DecryptionFailed
    """
    values = {name: getattr(changed, name) for name in ("role", "payloads", "disabled_at")}
    values["sealed"] = _seal(encryption, changed, password_hash(connection, encryption, person))
    connection.execute(update(_users).where(_users.c.id == person.id).values(values))


def set_password_hash(
    connection: Connection, encryption: Encryption, person: StaffRecord, hashed: str, at: datetime | None = None
) -> None:
    """Store what a person's password is held against from now on; `at` is when it was set, where it is another."""
    values = {"sealed": _seal(encryption, person, hashed)} | ({"password_at": at} if at is not None else {})
    connection.execute(update(_users).where(_users.c.id == person.id).values(values))


def disable(connection: Connection, encryption: Encryption, person: StaffRecord, now: datetime) -> None:
    """Let a person in no more; one who was changed in the database itself is never let in, and stays so."""
    try:
        change(connection, encryption, person, person._replace(disabled_at=now))
    except DecryptionFailed:
        connection.execute(update(_users).where(_users.c.id == person.id).values(disabled_at=now))


def note_sign_in(connection: Connection, user_id: int, now: datetime) -> None:
    """Write down that a person has signed in."""
    connection.execute(update(_users).where(_users.c.id == user_id).values(signed_in_at=now))


_PURPOSE = "staff user"


def _seal(encryption: Encryption, person: StaffRecord, hashed: str | None) -> bytes:
    return encryption.encrypt(_PURPOSE, hashed or "", _standing(person))


def _standing(person: StaffRecord) -> str:
    """Return the digest of who a person is and what they may do."""
    said = [person.name, person.role, person.payloads, person.disabled_at is None, person.issuer, person.subject]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def begin_session(connection: Connection, encryption: Encryption, user_id: int, address: str, now: datetime) -> str:
    """Begin a session and return what its cookie holds; what is long over is deleted."""
    connection.execute(delete(_sessions).where(_sessions.c.expires_at < now - ENDED_SHOWN))
    # Not before the session that they were sent in: where the clock is ahead, one could be sent a second time later.
    connection.execute(delete(_forms).where(_forms.c.expires_at < now - ENDED_SHOWN))
    cookie = f"{user_id}.{new_cookie()}"
    row = {"user_id": user_id, "address": address, "created_at": now, "seen_at": now}
    row |= {"digest": _session_digest(encryption, cookie), "expires_at": now + SESSION_LIFE}
    connection.execute(insert(_sessions).values(row))
    return cookie


def new_cookie() -> str:
    """Return 256 random bits, in URL-safe Base64."""
    return secrets.token_urlsafe(32)


def cookie_digest(cookie: str) -> str:
    """Return what stands for a cookie, signed in or not, in the token of a form."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()


def _session_digest(encryption: Encryption, cookie: str) -> str:
    key = encryption.derived("staff sessions").encode()
    return hmac.new(key, cookie.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def session(connection: Connection, encryption: Encryption, cookie: str) -> tuple[SessionRecord, StaffRecord] | None:
    """Return the session behind a cookie and whose it is, however old it is.

    The look-up goes by a keyed digest of 256 random bits, so how long it takes tells nothing of use.

    Raises:
        DecryptionFailed: the person was changed in the database itself.
    """
    digest = _session_digest(encryption, cookie)
    found = fetch_one(connection, SessionRecord, _sessions_by().where(_sessions.c.digest == digest))
    if found is None or cookie.partition(".")[0] != str(found.user_id):
        return None
    person = fetch_one(connection, StaffRecord, _ALL.where(_users.c.id == found.user_id))
    if person is None:
        return None
    password_hash(connection, encryption, person)
    return found, person


def sessions_of(connection: Connection, user_id: int, limit: int) -> list[SessionRecord]:
    """Return a person's sessions, the newest first, ended ones too."""
    mine = _sessions_by().where(_sessions.c.user_id == user_id)
    return fetch_all(connection, SessionRecord, mine.order_by(_sessions.c.id.desc()).limit(limit))


def has_been_at(connection: Connection, user_id: int, address: str) -> bool:
    """Tell whether a person has signed in from an address within the last weeks."""
    mine = select(_sessions.c.id).where(_sessions.c.user_id == user_id, _sessions.c.address == address)
    return connection.execute(mine.limit(1)).first() is not None


def note_seen(connection: Connection, session_id: int, now: datetime) -> None:
    """Write down that a session is used; one that has ended stays so."""
    mine = update(_sessions).where(_sessions.c.id == session_id, _sessions.c.ended_at.is_(None))
    connection.execute(mine.values(seen_at=now))


def end_session(connection: Connection, session_id: int, now: datetime) -> bool:
    """End one session at once, in every process; tell whether there was one to end."""
    mine = update(_sessions).where(_sessions.c.id == session_id, _sessions.c.ended_at.is_(None))
    return connection.execute(mine.values(ended_at=now)).rowcount == 1


def end_sessions(connection: Connection, user_id: int, now: datetime) -> int:
    """End all sessions of a person at once; return how many were valid by their age."""
    mine = update(_sessions).where(_sessions.c.user_id == user_id, _sessions.c.ended_at.is_(None)).values(ended_at=now)
    ended = connection.execute(mine.where(_sessions.c.expires_at > now)).rowcount
    # Where the clock is ahead, the others are valid once it is put right.
    connection.execute(mine)
    return ended


def use_form(connection: Connection, nonce: str, expires_at: datetime) -> bool:
    """Note that a form was sent; false where it was before."""
    return insert_or_skip(connection, _forms, ["nonce"], {"nonce": nonce, "expires_at": expires_at})


def _sessions_by() -> Select[Any]:
    return select(*columns_of(SessionRecord, _sessions))
