"""Who is signed in to the staff pages: sessions are begun, looked up and ended here."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from receiver.model import Role
from receiver.runtime import Runtime
from receiver.store import audit, staff
from receiver.store.database import StoreUnavailable, retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.staff import SEEN_NOTED_EVERY
from receiver.store.staff import SESSION_LIFE as SESSION_LIFE
from receiver.store.staff import cookie_digest as cookie_digest
from receiver.store.staff import new_cookie as new_cookie

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed in, as they are at this moment."""

    name: str
    role: Role
    payloads: bool
    """Whether they may read what a bank sent."""
    session_id: int
    user_id: int

    @property
    def who(self) -> str:
        """How the audit log names them."""
        return who_is(self.name)

    def may(self, role: Role) -> bool:
        """Tell whether they may do what needs a role."""
        return self.role.includes(role)


def who_is(name: str) -> str:
    """Return how the audit log names a person: `staff:` and their name."""
    return f"staff:{name}"


def name_in(who: str) -> str | None:
    """Return the name of the person whom the audit log names so; none for others, such as a command line's user."""
    prefix = who_is("")
    return who.removeprefix(prefix) if who.startswith(prefix) else None


def visitor(runtime: Runtime, cookie: str | None, *, is_used: bool = True) -> Visitor | None:
    """Return whose session a cookie is; none where it is unknown, over, idle for too long, or theirs who is disabled.

    A page that refreshes by itself is no use of the session (`is_used`): nobody need sit before it. Searching as one
    types is.

    Raises:
        StoreUnavailable
    """
    if not cookie:
        return None
    try:
        with runtime.database.read() as connection:
            found = staff.session(connection, runtime.encryption, cookie)
    except DecryptionFailed:
        log.error("a person of the staff pages was changed in the database itself: they are not let in")
        return None
    now = runtime.clock()
    if found is None or found[1].disabled_at is not None or not found[0].is_valid(now):
        return None
    session, person = found
    if is_used and now - session.seen_at >= SEEN_NOTED_EVERY:
        _note_seen(runtime, session.id, now)
    return Visitor(person.name, person.role, person.payloads, session.id, person.id)


def _note_seen(runtime: Runtime, session_id: int, now: datetime) -> None:
    """Write down that a session is used; a database that can't be written just now can still be read."""
    with suppress(StoreUnavailable), runtime.database.write() as connection:
        staff.note_seen(connection, session_id, now)


@retried
def sign_out(runtime: Runtime, who: Visitor) -> None:
    """End the session that somebody uses; audited as `staff.signed_out`.

    Raises:
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.write() as connection:
        if staff.end_session(connection, who.session_id, now):
            about = {"person": who.name}
            audit.write(connection, runtime.encryption, at=now, who=who.who, what="staff.signed_out", about=about)


@retried
def use_form(runtime: Runtime, nonce: str, expires_at: datetime) -> bool:
    """Note that a form was sent; false where it was before.

    Raises:
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        return staff.use_form(connection, nonce, expires_at)
