"""People of the staff pages: what ends a session, what slows signing in down, and what is in the audit log of it."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from conftest import KEY, StandingClock
from sqlalchemy import text

from receiver.admin import audit, people, secrets, sessions, sign_in
from receiver.admin.passwords import PasswordWeak
from receiver.admin.sign_in import SignInRefused, SignInSlowed
from receiver.model import NotFound, NotPossible, ReceiverError, Role
from receiver.runtime import Runtime
from receiver.store import staff
from receiver.store.encryption import Encryption
from receiver.store.staff import StaffExists

PASSWORD = "quite a long password"
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def ann(parts: Runtime) -> str:
    people.add(parts, "cli:root", "Ann", Role.OPERATOR, password=PASSWORD)
    return "ann"


def try_in(parts: Runtime, name: str = "ann", password: str = PASSWORD, address: str = HOME) -> str:
    return sign_in.sign_in(parts, name, password, address)


def fail(parts: Runtime, times: int, address: str = ELSEWHERE, name: str = "ann") -> None:
    for _ in range(times):
        with pytest.raises(SignInRefused):
            try_in(parts, name, "not the password", address)


def entries(parts: Runtime) -> list[tuple[str, str, dict[str, object]]]:
    return [(entry.who, entry.what, entry.about) for entry in audit.listing(parts, limit=100)][::-1]


def test_whoever_signs_in_is_who_they_are_until_they_sign_out(parts: Runtime, ann: str) -> None:
    cookie = try_in(parts, " ANN ")
    found = sessions.visitor(parts, cookie)
    assert found is not None
    assert (found.name, found.role, found.payloads, found.who) == (ann, Role.OPERATOR, False, "staff:ann")
    sessions.sign_out(parts, found)
    assert sessions.visitor(parts, cookie) is None
    assert entries(parts) == [
        ("cli:root", "staff.added", {"person": "ann", "role": "operator", "payloads": False}),
        ("staff:ann", "staff.signed_in", {"person": "ann", "by": "password"}),
        ("staff:ann", "staff.signed_out", {"person": "ann"}),
    ]


@pytest.mark.usefixtures("ann")
def test_nothing_of_a_password_or_a_cookie_is_stored_in_the_clear(parts: Runtime) -> None:
    cookie = try_in(parts)
    with parts.database.read() as connection:
        person = staff.named(connection, "ann")
        assert person is not None
        stored = staff.password_hash(connection, parts.encryption, person)
        assert stored is not None
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert PASSWORD not in stored
        found = staff.session(connection, parts.encryption, cookie)
        assert found is not None
        assert cookie not in str(found)


@pytest.mark.usefixtures("ann")
def test_a_session_ends_after_thirty_idle_minutes_and_after_twelve_hours(parts: Runtime, clock: StandingClock) -> None:
    idle, used = try_in(parts), try_in(parts)
    for _ in range(3):
        clock.forward(1190)
        assert sessions.visitor(parts, used) is not None
    assert sessions.visitor(parts, idle) is None
    for _ in range(33):
        clock.forward(1190)
        sessions.visitor(parts, used)
    clock.now += timedelta(hours=12) - timedelta(seconds=36 * 1190 + 1)
    assert sessions.visitor(parts, used) is not None
    clock.forward(1)
    assert sessions.visitor(parts, used) is None


ACTS: dict[str, Callable[[Runtime], object]] = {
    "staff.changed": lambda parts: people.change(parts, "cli:root", "ann", role=Role.ADMIN),
    "staff.disabled": lambda parts: people.disable(parts, "cli:root", "ann"),
    "staff.password": lambda parts: people.set_password(parts, "cli:root", "ann", "another long password"),
    "staff.sessions_ended": lambda parts: people.end_sessions(parts, "cli:root", "ann"),
}


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("what", ACTS)
def test_another_role_or_password_or_none_ends_all_sessions_and_is_audited(parts: Runtime, what: str) -> None:
    cookies = [try_in(parts), try_in(parts)]
    ACTS[what](parts)
    assert [sessions.visitor(parts, cookie) for cookie in cookies] == [None, None]
    who, said, about = entries(parts)[-1]
    assert (who, said, about["person"], about["sessions_ended"]) == ("cli:root", what, "ann", 2)


@pytest.mark.usefixtures("ann")
def test_whoever_is_disabled_is_refused_as_a_wrong_password_is(parts: Runtime) -> None:
    people.disable(parts, "cli:root", "ann")
    with pytest.raises(SignInRefused, match="name or the password"):
        try_in(parts)
    with pytest.raises(NotPossible):
        people.disable(parts, "cli:root", "ann")
    people.change(parts, "cli:root", "ann", enable=True)
    assert try_in(parts)


@pytest.mark.usefixtures("ann")
def test_nobody_changes_what_they_may_do_themselves(parts: Runtime) -> None:
    with pytest.raises(NotPossible):
        people.change(parts, "staff:ann", "ann", role=Role.ADMIN)
    with pytest.raises(NotPossible):
        people.disable(parts, "staff:ann", "Ann")
    assert people.find(parts, "ann").role == Role.OPERATOR


@pytest.mark.usefixtures("ann")
def test_what_is_wrong_about_a_person_is_said(parts: Runtime) -> None:
    wrong: list[tuple[type[ReceiverError], Callable[[], object]]] = [
        (StaffExists, lambda: people.add(parts, "cli:root", "ANN", Role.VIEWER, password=PASSWORD)),
        (people.NameWrong, lambda: people.add(parts, "cli:root", "<b>", Role.VIEWER, password=PASSWORD)),
        (PasswordWeak, lambda: people.add(parts, "cli:root", "bob", Role.VIEWER, password="short")),
        (PasswordWeak, lambda: people.add(parts, "cli:root", "bob", Role.VIEWER, password="a" * 20)),
        (PasswordWeak, lambda: people.set_password(parts, "cli:root", "ann", "i am ann, you know")),
        (PasswordWeak, lambda: people.set_password(parts, "cli:root", "ann", "long enough" * 200)),
        (NotFound, lambda: people.disable(parts, "cli:root", "bob")),
    ]
    for error, act in wrong:
        with pytest.raises(error):
            act()
    assert [person.name for person in people.listing(parts)] == ["ann"]


@pytest.mark.usefixtures("ann")
def test_an_account_is_slowed_and_never_locked(parts: Runtime, clock: StandingClock) -> None:
    for number in range(5):
        fail(parts, 1, f"203.0.113.{number}")
    with pytest.raises(SignInSlowed):
        try_in(parts, address=ELSEWHERE)
    for number in range(20):
        clock.forward(60)
        fail(parts, 1, f"203.0.113.{100 + number}")
    with pytest.raises(SignInSlowed) as slowed:
        try_in(parts, address=ELSEWHERE)
    assert 0 < slowed.value.seconds <= 61
    clock.forward(60)
    assert try_in(parts, address=ELSEWHERE)
    # From where they were signed in before, nobody keeps them out.
    fail(parts, 4, "203.0.113.250")
    fail(parts, 1, "203.0.113.251")
    assert try_in(parts, address=ELSEWHERE)


@pytest.mark.usefixtures("ann")
def test_an_address_is_slowed_whomever_it_tries(parts: Runtime, clock: StandingClock) -> None:
    for number in range(5):
        fail(parts, 1, name=f"name{number}")
    with pytest.raises(SignInSlowed):
        try_in(parts, address=ELSEWHERE)
    assert try_in(parts, address=HOME)
    clock.forward(3601)
    fail(parts, 4, name="name9")
    assert try_in(parts, address=ELSEWHERE)


@pytest.mark.usefixtures("ann")
def test_a_name_that_there_is_not_is_slowed_like_any_other(parts: Runtime) -> None:
    for number in range(5):
        fail(parts, 1, f"203.0.113.{number}", "nobody")
    with pytest.raises(SignInSlowed):
        try_in(parts, "nobody")


@pytest.mark.usefixtures("ann")
def test_ones_own_password_takes_the_present_one(parts: Runtime) -> None:
    cookie = try_in(parts)
    visitor = sessions.visitor(parts, cookie)
    assert visitor is not None
    with pytest.raises(SignInRefused):
        sign_in.change_own(parts, visitor, "not the password", "another long password")
    sign_in.change_own(parts, visitor, PASSWORD, "another long password")
    assert sessions.visitor(parts, cookie) is None
    assert try_in(parts, password="another long password")


@pytest.mark.usefixtures("ann")
def test_an_admin_too_needs_the_present_password_for_their_own(parts: Runtime) -> None:
    people.change(parts, "cli:root", "ann", role=Role.ADMIN)
    cookie = try_in(parts)
    with pytest.raises(NotPossible, match="with the present one"):
        people.set_password(parts, "staff:ann", "Ann", "another long password")
    assert sessions.visitor(parts, cookie) is not None
    assert try_in(parts)


@pytest.mark.usefixtures("ann")
def test_a_password_that_was_changed_meanwhile_is_the_present_one_no_more(parts: Runtime) -> None:
    with parts.database.read() as connection:
        person = staff.named(connection, "ann")
        assert person is not None
        present = staff.password_hash(connection, parts.encryption, person)
    people.set_password(parts, "cli:root", "ann", "given by an admin")
    with pytest.raises(NotPossible, match="changed meanwhile"):
        people.set_password(parts, "staff:ann", "ann", "another long password", present=present)
    assert try_in(parts, password="given by an admin")


@pytest.mark.usefixtures("ann")
def test_ones_own_password_is_held_up_by_what_fails_in_the_session_alone(parts: Runtime, clock: StandingClock) -> None:
    visitor = sessions.visitor(parts, try_in(parts))
    assert visitor is not None
    for number in range(5):
        fail(parts, 1, f"203.0.113.{number}")
    with pytest.raises(SignInSlowed):
        try_in(parts, address=ELSEWHERE)
    for _ in range(5):
        with pytest.raises(SignInRefused):
            sign_in.change_own(parts, visitor, "not the password", "another long password")
    with pytest.raises(SignInSlowed):
        sign_in.change_own(parts, visitor, PASSWORD, "another long password")
    assert try_in(parts), "whoever has the session slows nobody down elsewhere"
    clock.forward(1)
    with pytest.raises(SignInRefused):
        sign_in.change_own(parts, visitor, "not the password", "another long password")
    clock.forward(1)
    with pytest.raises(SignInSlowed):
        sign_in.change_own(parts, visitor, PASSWORD, "another long password")
    clock.forward(1)
    sign_in.change_own(parts, visitor, PASSWORD, "another long password")
    assert try_in(parts, password="another long password")


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(hours=11), timedelta(days=3650)])
def test_a_session_begun_while_the_clock_was_ahead_lets_nobody_in_once_it_is_put_right(
    parts: Runtime, clock: StandingClock, ahead: timedelta
) -> None:
    right = clock()
    clock.now += ahead
    cookie = try_in(parts)
    assert sessions.visitor(parts, cookie) is not None
    for share in (0, 0.5, 0.8):
        clock.now = right + ahead * share
        assert sessions.visitor(parts, cookie) is None


@pytest.mark.usefixtures("ann")
def test_a_session_of_a_clock_a_little_ahead_is_good(parts: Runtime, clock: StandingClock) -> None:
    clock.forward(59)
    cookie = try_in(parts)
    clock.forward(-59)
    assert sessions.visitor(parts, cookie) is not None


@pytest.mark.usefixtures("ann")
def test_sessions_ended_while_the_clock_is_ahead_are_over_once_it_is_put_right(
    parts: Runtime, clock: StandingClock
) -> None:
    cookie = try_in(parts)
    clock.forward(24 * 3600)
    assert people.end_sessions(parts, "cli:root", "ann") == 0
    clock.forward(-24 * 3600)
    assert sessions.visitor(parts, cookie) is None


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("days", [1, 29, 31])
def test_a_form_that_was_sent_is_not_taken_once_more_after_the_clock_was_ahead(
    parts: Runtime, clock: StandingClock, days: int
) -> None:
    cookie = try_in(parts)
    ends = clock() + sessions.SESSION_LIFE
    assert sessions.use_form(parts, "nonce", ends)
    clock.forward(days * 24 * 3600)
    try_in(parts)
    clock.forward(-days * 24 * 3600)
    # A clock so far ahead that it takes the nonce takes the session too, without which the form is worth nothing.
    assert sessions.visitor(parts, cookie) is None or not sessions.use_form(parts, "nonce", ends)


def test_a_form_is_used_once(parts: Runtime) -> None:
    ends = parts.clock() + timedelta(hours=1)
    assert [sessions.use_form(parts, nonce, ends) for nonce in ("a", "b", "a")] == [True, True, False]


TAMPERED = [
    "UPDATE staff_users SET role = 'admin' WHERE name = 'ann'",
    "UPDATE staff_users SET payloads = true WHERE name = 'ann'",
    "UPDATE staff_users SET name = 'root' WHERE name = 'ann'",
    "UPDATE staff_sessions SET user_id = (SELECT id FROM staff_users WHERE name = 'root')",
    "UPDATE staff_users SET sealed = (SELECT sealed FROM staff_users WHERE name = 'root') WHERE name = 'ann'",
]


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("statement", TAMPERED)
def test_whoever_writes_to_the_database_alone_makes_nobody_an_admin(parts: Runtime, statement: str) -> None:
    if "'root'" in statement and "SET name" not in statement:
        people.add(parts, "cli:root", "root", Role.ADMIN, password="another long password")
    cookie = try_in(parts)
    with parts.database.write() as connection:
        connection.execute(text(statement))
    assert sessions.visitor(parts, cookie) is None
    if "staff_sessions" not in statement:
        name = people.listing(parts)[0].name
        with pytest.raises(NotPossible):
            people.set_password(parts, "cli:root", name, "a third long password")
        people.disable(parts, "cli:root", name)
        with pytest.raises(NotPossible):
            people.change(parts, "cli:root", name, enable=True)
        for name in ("ann", "root"):
            with pytest.raises(SignInRefused):
                try_in(parts, name)


@pytest.mark.usefixtures("ann")
def test_one_disabled_is_not_let_in_by_the_database_alone(parts: Runtime) -> None:
    people.disable(parts, "cli:root", "ann")
    with parts.database.write() as connection:
        connection.execute(text("UPDATE staff_users SET disabled_at = NULL"))
    with pytest.raises(SignInRefused):
        try_in(parts)


@pytest.mark.usefixtures("ann")
def test_people_are_let_in_after_the_keys_have_changed(parts: Runtime) -> None:
    newer = base64.urlsafe_b64encode(bytes(reversed(range(32)))).decode()
    renewed = replace(parts, encryption=Encryption([newer, KEY]))
    secrets.reencrypt(renewed, "cli:root")
    assert try_in(replace(parts, encryption=Encryption([newer])))
