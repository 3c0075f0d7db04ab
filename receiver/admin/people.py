"""The people who use the staff pages: added, changed, disabled, given a new password; each act is audited."""

import re
from typing import Any

from sqlalchemy import Connection

from receiver.admin import passwords
from receiver.admin.sessions import name_in
from receiver.model import NameNotThere, NotPossible, ReceiverError, Role
from receiver.runtime import Runtime
from receiver.store import audit, staff
from receiver.store.database import retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.staff import SessionRecord, StaffRecord

NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")

SESSIONS_SHOWN = 50


class NameWrong(ReceiverError):
    """A person can't be called so."""


def checked_name(given: str) -> str:
    """Return a name as it is stored: in lower case.

    Raises:
        NameWrong
    """
    name = given.strip().lower()
    if not NAME.fullmatch(name):
        raise NameWrong(
            "a name takes up to 64 letters (a to z), digits, and . _ @ + -, and begins with one of the first"
        )
    return name


def add(runtime: Runtime, who: str, name: str, role: Role, *, payloads: bool = False, password: str) -> StaffRecord:
    """Add a person; audited as `staff.added`.

    Raises:
        NameWrong
        NotPossible: `who` is no admin any more.
        PasswordWeak
        PasswordsBusy
        StaffExists
        StoreUnavailable
    """
    name = checked_name(name)
    passwords.check(password, name)
    return _add(runtime, who, name, role, payloads, passwords.hashed(password))


@retried
def _add(runtime: Runtime, who: str, name: str, role: Role, payloads: bool, hashed: str) -> StaffRecord:
    now = runtime.clock()
    with runtime.database.write() as connection:
        _locked(connection, who)
        added = staff.add(
            connection, runtime.encryption, name=name, role=role, payloads=payloads, now=now, password_hash=hashed
        )
        _note(connection, runtime, who, "staff.added", {"person": name, "role": role, "payloads": payloads})
    return added


@retried
def change(
    runtime: Runtime,
    who: str,
    name: str,
    *,
    role: Role | None = None,
    payloads: bool | None = None,
    enable: bool = False,
) -> StaffRecord:
    """Change what a person may do, or let one who is disabled in; their sessions end. Audited as `staff.changed`.

    Raises:
        NameNotThere
        NotPossible: nobody changes themselves; `who` is no admin any more; a provider says what the person may do; or
            they were changed in the database itself.
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        person = _other(connection, who, name)
        if person.issuer is not None and (role, payloads) != (None, None):
            words = "their next sign-in would set that back; disable them, or change it there"
            raise NotPossible(f"what {person.name} may do is said by {person.issuer}: {words}")
        columns: dict[str, Any] = {"role": role or person.role}
        columns["payloads"] = person.payloads if payloads is None else payloads
        columns["disabled_at"] = None if enable else person.disabled_at
        changed = person._replace(**columns)
        _check_whole(connection, runtime, person)
        if changed != person:
            staff.change(connection, runtime.encryption, person, changed)
            ended = staff.end_sessions(connection, person.id, runtime.clock())
            about = {"person": person.name, **_standing(changed), "before": _standing(person), "sessions_ended": ended}
            _note(connection, runtime, who, "staff.changed", about)
    return changed


@retried
def disable(runtime: Runtime, who: str, name: str) -> None:
    """Let a person in no more, and end their sessions at once; audited as `staff.disabled`.

    Raises:
        NameNotThere
        NotPossible: nobody disables themselves; `who` is no admin any more; or the person is disabled already.
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.write() as connection:
        person = _other(connection, who, name)
        if person.disabled_at is not None:
            raise NotPossible(f"{person.name} is disabled already")
        staff.disable(connection, runtime.encryption, person, now)
        ended = staff.end_sessions(connection, person.id, now)
        _note(connection, runtime, who, "staff.disabled", {"person": person.name, "sessions_ended": ended})


def set_password(runtime: Runtime, who: str, name: str, password: str, *, present: str | None = None) -> None:
    """Give a person a new password, and end their sessions at once; audited as `staff.password`.

    Whoever gives it to themselves has shown the `present` one: what that was held against.

    Raises:
        NameNotThere
        NotPossible: a provider vouches for them; they were changed in the database itself; `who` is no admin any more,
            or gives it to themselves without the present one, or with one that is another by now.
        PasswordWeak
        PasswordsBusy
        StoreUnavailable
    """
    name = find(runtime, name).name
    if present is None and name_in(who) == name:
        raise NotPossible("your own password is changed on your own page, with the present one")
    passwords.check(password, name)
    _set_password(runtime, who, name, passwords.hashed(password), present)


@retried
def _set_password(runtime: Runtime, who: str, name: str, hashed: str, present: str | None) -> None:
    now = runtime.clock()
    with runtime.database.write() as connection:
        person = _other(connection, who, name) if present is None else _named(connection, name)
        _check_whole(connection, runtime, person)
        if person.issuer is not None:
            raise NotPossible(f"{name} signs in by OpenID Connect, without a password")
        if present not in (None, staff.password_hash(connection, runtime.encryption, person)):
            raise NotPossible("the present password was changed meanwhile")
        staff.set_password_hash(connection, runtime.encryption, person, hashed, now)
        ended = staff.end_sessions(connection, person.id, now)
        _note(connection, runtime, who, "staff.password", {"person": name, "sessions_ended": ended})


@retried
def end_sessions(runtime: Runtime, who: str, name: str) -> int:
    """End all sessions of a person, oneself included, and return how many; audited as `staff.sessions_ended`.

    Raises:
        NameNotThere
        NotPossible: `who` is another person, and no admin any more.
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        is_me = name_in(who) == name.strip().lower()
        person = _named(connection, name) if is_me else _other(connection, who, name)
        ended = staff.end_sessions(connection, person.id, runtime.clock())
        _note(connection, runtime, who, "staff.sessions_ended", {"person": person.name, "sessions_ended": ended})
    return ended


def listing(runtime: Runtime) -> list[StaffRecord]:
    """Return all people by name, disabled ones too.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return staff.every(connection)


def find(runtime: Runtime, name: str) -> StaffRecord:
    """Return a person.

    Raises:
        NameNotThere
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return _there(connection, staff.named(connection, name.strip().lower()), name)


def sessions(runtime: Runtime, person: StaffRecord) -> list[SessionRecord]:
    """Return a person's latest sessions, the newest first, ended ones too.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return staff.sessions_of(connection, person.id, SESSIONS_SHOWN)


def _named(connection: Connection, name: str) -> StaffRecord:
    """Return a person, and make other writers about them wait until the transaction ends."""
    return _there(connection, staff.locked(connection, name.strip().lower()), name)


def _there(connection: Connection, found: StaffRecord | None, name: str) -> StaffRecord:
    if found is None:
        # Imported here: it brings the banks, which no other act on people needs.
        from receiver.admin.names import no_such

        raise NameNotThere(f"there is no person {no_such(name, [person.name for person in staff.every(connection)])}")
    return found


def _other(connection: Connection, who: str, name: str) -> StaffRecord:
    """Return a person whom `who` may change, and make other writers about both wait until the transaction ends.

    On the pages nobody changes themselves, and whoever changes another is an admin still: so one is always left.

    Raises:
        NameNotThere
        NotPossible
    """
    name = name.strip().lower()
    if name_in(who) == name:
        raise NotPossible("nobody changes what they may do themselves: another admin can")
    return _there(connection, _locked(connection, who, name).get(name), name)


def _locked(connection: Connection, who: str, *names: str) -> dict[str, StaffRecord]:
    """Return people by name, and make other writers about them and about the admin who acts wait.

    Raises:
        NotPossible: `who` is a person, and no admin any more.
    """
    actor = name_in(who)
    found = staff.locked_by_name(connection, {*names, *([] if actor is None else [actor])})
    admin = None if actor is None else found.get(actor)
    if actor is not None and (admin is None or admin.disabled_at is not None or not admin.role.includes(Role.ADMIN)):
        raise NotPossible("you are not an admin any more")
    return found


def _check_whole(connection: Connection, runtime: Runtime, person: StaffRecord) -> None:
    """Refuse to go on from what somebody has put into the database, which this act would vouch for.

    Raises:
        NotPossible
    """
    try:
        staff.password_hash(connection, runtime.encryption, person)
    except DecryptionFailed as error:
        text = "no key opens what is stored of them, or it was changed in the database itself"
        raise NotPossible(
            f"{person.name} can't be let in: {text}; disable them, and add them under another name"
        ) from error


def _standing(person: StaffRecord) -> dict[str, Any]:
    return {"role": person.role, "payloads": person.payloads, "disabled": person.disabled_at is not None}


def _note(connection: Connection, runtime: Runtime, who: str, what: str, about: dict[str, Any]) -> None:
    audit.write(connection, runtime.encryption, at=runtime.clock(), who=who, what=what, about=about)
