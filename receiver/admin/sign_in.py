"""Signing in to the staff pages: by a password, slowed by account and by address, or by a provider who vouches."""

import logging

from sqlalchemy import Connection

from receiver.admin import passwords, people
from receiver.admin.sessions import Visitor, who_is
from receiver.model import ReceiverError
from receiver.runtime import Runtime
from receiver.store import audit, sign_in_failures, staff
from receiver.store.database import retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.staff import SessionRecord, StaffRecord

log = logging.getLogger(__name__)


class SignInRefused(ReceiverError):
    """Name or password is wrong, or the person is disabled; the text does not tell which."""


class SignInSlowed(ReceiverError):
    """It failed too often of late: the next try is taken in a while (the pages' 429)."""

    def __init__(self, seconds: float) -> None:
        """Take how long to wait."""
        super().__init__("It failed too often of late.")
        self.seconds = max(1, round(seconds + 0.5))


def is_anybody(runtime: Runtime) -> bool:
    """Tell whether there is anybody who may sign in.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return staff.is_anybody(connection)


def sign_in(runtime: Runtime, name: str, password: str, address: str, before: str | None = None) -> str:
    """Begin a session and return what its cookie holds; audited as `staff.signed_in`.

    `address` is where the browser is; `before` is the cookie that it had, whose session ends.

    Raises:
        SignInRefused
        SignInSlowed
        PasswordsBusy
        StoreUnavailable
    """
    name = name.strip().lower()
    with passwords.turns().of(address):
        person, stored = _look(runtime, name, address)
        is_right = passwords.is_right(stored, password)
        if person is None or not is_right or person.disabled_at is not None:
            encryption = runtime.encryption
            account = sign_in_failures.account_bucket(encryption, name)
            _note_failure(runtime, account, sign_in_failures.address_bucket(encryption, address))
            raise SignInRefused("The name or the password is wrong.")
        renewed = passwords.renewed(password) if stored and passwords.is_outdated(stored) else None
    return _begin(runtime, person, stored, renewed, address, before)


def _look(runtime: Runtime, name: str, address: str) -> tuple[StaffRecord | None, str | None]:
    """Return the person of a name and what their password is held against.

    Where they have signed in from before, others' failures do not slow them down: nobody can keep them out.

    Raises:
        SignInSlowed
    """
    encryption = runtime.encryption
    with runtime.database.read() as connection:
        person = staff.named(connection, name)
        buckets = [sign_in_failures.address_bucket(encryption, address)]
        if person is None or not staff.has_been_at(connection, person.id, address):
            buckets.append(sign_in_failures.account_bucket(encryption, name))
        _check_wait(connection, runtime, *buckets)
        return person, _stored(connection, runtime, person)


def _check_wait(connection: Connection, runtime: Runtime, *buckets: int) -> None:
    """Refuse a try that comes too soon after those that failed.

    Raises:
        SignInSlowed
    """
    seconds = sign_in_failures.wait(connection, buckets, runtime.clock())
    if seconds > 0:
        raise SignInSlowed(seconds)


def _stored(connection: Connection, runtime: Runtime, person: StaffRecord | None) -> str | None:
    """Return what a person's password is held against; nothing for one who was changed in the database itself."""
    try:
        return None if person is None else staff.password_hash(connection, runtime.encryption, person)
    except DecryptionFailed:
        log.error("a person of the staff pages was changed in the database itself: they are not let in")
        return None


@retried
def _note_failure(runtime: Runtime, *buckets: int) -> None:
    with runtime.database.write() as connection:
        sign_in_failures.add(connection, buckets, runtime.clock())


def change_own(runtime: Runtime, visitor: Visitor, present: str, new: str) -> None:
    """Change one's own password, with the present one; all of one's sessions end. Audited as `staff.password`.

    What fails is counted by session: nobody who is not signed in holds this up, and whoever has stolen a session is
    slowed within it.

    Raises:
        SignInRefused: the present password is wrong.
        SignInSlowed
        PasswordWeak
        PasswordsBusy
        NotPossible: the present password was changed meanwhile.
        StoreUnavailable
    """
    mine = f"session {visitor.session_id}"
    bucket = sign_in_failures.address_bucket(runtime.encryption, mine)
    with passwords.turns().of(mine):
        with runtime.database.read() as connection:
            _check_wait(connection, runtime, bucket)
            stored = _stored(connection, runtime, staff.named(connection, visitor.name))
        if not passwords.is_right(stored, present):
            _note_failure(runtime, bucket)
            raise SignInRefused("The present password is wrong.")
    people.set_password(runtime, visitor.who, visitor.name, new, present=stored)


@retried
def _begin(
    runtime: Runtime, person: StaffRecord, stored: str | None, renewed: str | None, address: str, before: str | None
) -> str:
    """Begin the session, unless the person was changed since their password was looked at.

    Raises:
        SignInRefused
    """
    with runtime.database.write() as connection:
        found = staff.locked(connection, person.name)
        if found is None or found.disabled_at is not None or _stored(connection, runtime, found) != stored:
            raise SignInRefused("The name or the password is wrong.")
        if renewed is not None:
            staff.set_password_hash(connection, runtime.encryption, found, renewed)
        sign_in_failures.forget(connection, sign_in_failures.account_bucket(runtime.encryption, person.name))
        return begin(connection, runtime, found, address, before, {"by": "password"})


def begin(
    connection: Connection,
    runtime: Runtime,
    person: StaffRecord,
    address: str,
    before: str | None,
    about: dict[str, str],
) -> str:
    """Begin a session in the caller's transaction, and end the one that the browser had."""
    now = runtime.clock()
    had = _had(connection, runtime, before)
    if had is not None:
        staff.end_session(connection, had.id, now)
    cookie = staff.begin_session(connection, runtime.encryption, person.id, address, now)
    staff.note_sign_in(connection, person.id, now)
    about = {"person": person.name, **about}
    audit.write(connection, runtime.encryption, at=now, who=who_is(person.name), what="staff.signed_in", about=about)
    return cookie


def _had(connection: Connection, runtime: Runtime, cookie: str | None) -> SessionRecord | None:
    """Return the session that the browser had, whosever it was."""
    try:
        found = staff.session(connection, runtime.encryption, cookie) if cookie else None
    except DecryptionFailed:
        return None
    return None if found is None else found[0]
