"""Two acts at the same moment: neither undoes the other, and together they do nothing that each alone may not."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import add_source, make_token
from lock_waits import wait_until, waiting
from sqlalchemy import Connection, text
from web.rows import rows
from werkzeug.test import TestResponse

from receiver.admin import consumers as consumer_acts
from receiver.admin import people, source_changes
from receiver.admin import sources as source_acts
from receiver.admin.openid import Identity, sign_in_by
from receiver.admin.sign_in import SignInRefused
from receiver.feed.read_notes import ConsumerReader, ReadNotes
from receiver.model import ConsumerAct, NotFound, NotPossible, Role
from receiver.runtime import Runtime
from receiver.store import consumer_ranges, consumers, destinations, source_removal, sources, staff
from receiver.store.consumer_ranges import Range
from receiver.store.consumers import ConsumerPlace
from receiver.store.tables import ConsumerRange
from receiver.web import create_app

PASSWORD = "quite a long password"
ISSUER, ADDRESS = "https://id.example.com", "192.0.2.1"

only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""On SQLite whoever writes waits for the other from the beginning."""


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url")
    return url


@contextmanager
def while_held(
    parts: Runtime, hold: Callable[[Connection], object], *acts: Callable[[], object]
) -> Iterator[list[Future[object]]]:
    """Begin acts while a transaction that has done `hold` is open, and let it end once all of them wait or are over."""
    with ThreadPoolExecutor(len(acts)) as pool:
        with parts.database.write() as connection:
            hold(connection)
            begun = [pool.submit(act) for act in acts]
            wait_until(lambda: waiting(parts) + sum(each.done() for each in begun) >= len(acts))
        yield begun


def hold_audit(connection: Connection) -> None:
    """Have every act wait that has changed something and is about to say so."""
    connection.execute(text("SELECT 1 FROM audit_head FOR UPDATE"))


def add(parts: Runtime, *names: str) -> None:
    for name in names:
        people.add(parts, "cli:root", name, Role.ADMIN, password=PASSWORD)


def admins(parts: Runtime) -> set[str]:
    return {each.name for each in people.listing(parts) if each.role == Role.ADMIN and each.disabled_at is None}


def identity(role: Role = Role.OPERATOR) -> Identity:
    return Identity(ISSUER, "248289", "eve", role, payloads=False)


@only_postgresql
def test_a_sign_in_by_a_provider_does_not_undo_that_somebody_is_disabled(parts: Runtime) -> None:
    sign_in_by(parts, identity(), ADDRESS)

    def disable(connection: Connection) -> None:
        found = staff.locked(connection, "eve")
        assert found is not None
        staff.disable(connection, parts.encryption, found, parts.clock())

    def come() -> str:
        return sign_in_by(parts, identity(Role.VIEWER), ADDRESS)

    with while_held(parts, disable, come) as (coming,), pytest.raises(SignInRefused, match="disabled"):
        coming.result()
    found = people.find(parts, "eve")
    assert (found.role, found.disabled_at) == (Role.OPERATOR, parts.clock())


@only_postgresql
def test_who_comes_for_the_first_time_in_two_browsers_at_once_is_one_person(parts: Runtime) -> None:
    def come() -> str:
        return sign_in_by(parts, identity(), ADDRESS)

    with while_held(parts, hold_audit, come, come) as both:
        assert len({each.result() for each in both}) == 2
    assert [person.name for person in people.listing(parts)] == ["eve"]


ENDS: dict[str, Callable[[Runtime, str, str], object]] = {
    "changed": lambda parts, who, name: people.change(parts, f"staff:{who}", name, role=Role.VIEWER),
    "disabled": lambda parts, who, name: people.disable(parts, f"staff:{who}", name),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_whoever_was_an_admin_when_they_asked_and_is_none_any_more_changes_nobody(
    parts: Runtime, end: Callable[[Runtime, str, str], object]
) -> None:
    add(parts, "ann", "bob", "cid")
    end(parts, "ann", "bob")
    with pytest.raises(NotPossible, match="not an admin any more"):
        end(parts, "bob", "cid")
    end(parts, "cid", "ann")
    with pytest.raises(NotPossible, match="not an admin any more"):
        end(parts, "ann", "cid")
    assert admins(parts) == {"cid"}
    people.disable(parts, "cli:root", "cid")


@pytest.mark.parametrize(
    "act",
    [
        lambda parts: people.add(parts, "staff:ann", "eve", Role.ADMIN, password=PASSWORD),
        lambda parts: people.set_password(parts, "staff:ann", "bob", PASSWORD),
        lambda parts: people.end_sessions(parts, "staff:ann", "bob"),
    ],
    ids=["adds", "gives a password", "signs out"],
)
def test_whoever_is_no_admin_any_more_does_nothing_to_others(parts: Runtime, act: Callable[[Runtime], object]) -> None:
    add(parts, "ann", "bob")
    people.change(parts, "cli:root", "ann", role=Role.VIEWER)
    with pytest.raises(NotPossible, match="not an admin any more"):
        act(parts)
    assert people.end_sessions(parts, "staff:ann", "ann") == 0


@only_postgresql
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_of_two_admins_who_end_each_other_at_once_one_is_left(
    parts: Runtime, end: Callable[[Runtime, str, str], object]
) -> None:
    add(parts, "ann", "bob")
    pairs = (("ann", "bob"), ("bob", "ann"))
    acts = [lambda who=who, name=name: end(parts, who, name) for who, name in pairs]
    with while_held(parts, hold_audit, *acts) as both:
        failed = [each.exception() for each in both]
    assert [type(error) for error in failed if error is not None] == [NotPossible]
    assert len(admins(parts)) == 1


@only_postgresql
def test_credentials_that_are_given_while_a_source_is_moved_can_be_used(parts: Runtime) -> None:
    source = add_source(parts, base_url="https://bank.example")
    given = {"client_id": "another", "client_secret": "x"}

    def move(connection: Connection) -> None:
        found = destinations.locked(connection, source.name)
        assert found is not None
        destinations.move(connection, parts.encryption, found, base_url="https://other.example")

    def give() -> object:
        return source_acts.set_credentials(parts, "cli:root", source.name, given)

    with while_held(parts, move, give) as (giving,):
        giving.result()
    with parts.database.read() as connection:
        moved = sources.find(connection, source.name)
        assert moved is not None
        assert moved.base_url == "https://other.example"
        assert sources.credentials(connection, parts.encryption, moved) == given


def _remove(parts: Runtime) -> object:
    return source_changes.remove(parts, "cli:root", "bcb")


def _disable(parts: Runtime) -> object:
    source_acts.disable(parts, "cli:root", "bcb")
    return None


@only_postgresql
@pytest.mark.parametrize("act", [_remove, _disable])
@pytest.mark.parametrize("is_added", [True, False])
def test_what_is_done_to_a_source_that_is_removed_just_then_is_done_to_none_that_takes_its_name(
    parts: Runtime, act: Callable[[Runtime], object], is_added: bool
) -> None:
    source = add_source(parts)

    def replace(connection: Connection) -> None:
        sources.lock(connection, source.id)
        source_removal.hide(connection, source, parts.clock())
        source_removal.clear(connection, source)
        if is_added:
            values: dict[str, Any] = {"name": "bcb", "bank": "bcb", "environment": "sandbox", "options": {}}
            sources.add(connection, **values, base_url=None, now=parts.clock())

    with while_held(parts, replace, lambda: act(parts)) as (acting,):
        assert str(acting.exception()) == "source bcb was removed meanwhile"
    with parts.database.read() as connection:
        second = sources.find(connection, "bcb")
    assert [second.enabled if second is not None else None] == [True if is_added else None]


def remove_ledger(connection: Connection) -> None:
    assert consumers.remove(connection, "ledger")


@only_postgresql
@pytest.mark.parametrize("act", ["ack", "seek"])
def test_a_consumer_that_is_removed_while_its_app_moves_it_is_made_once_more_and_is_the_app_s(
    parts: Runtime, act: str
) -> None:
    token = make_token(parts)
    client = create_app(parts).test_client()
    path = "/api/v1/consumers/ledger"
    cursor = client.get(f"{path}/feed", headers=token).get_json()["next"]
    body = {"cursor": cursor} if act == "ack" else {"to": "beginning"}

    def move() -> TestResponse:
        return client.post(f"{path}/{act}", headers=token, json=body)

    with while_held(parts, remove_ledger, move) as (moving,):
        answer = moving.result()
    assert isinstance(answer, TestResponse)
    assert answer.status_code == 200
    assert consumer_acts.find(parts, "ledger").owner == "app"


@only_postgresql
@pytest.mark.parametrize("move", [consumers.acknowledge, consumers.seek])
def test_a_consumer_that_is_removed_while_it_is_moved_is_moved_all_the_same(
    parts: Runtime, move: Callable[..., ConsumerPlace]
) -> None:
    make_ledger(parts)

    def come() -> ConsumerPlace:
        with parts.database.write() as connection:
            return move(connection, "ledger", 3, parts.clock(), *([0] if move is consumers.acknowledge else []))

    with while_held(parts, remove_ledger, come) as (coming,):
        assert coming.result() == consumer_acts.find(parts, "ledger").place


@only_postgresql
def test_staff_moves_shares_and_gives_no_consumer_that_is_removed_just_then(parts: Runtime) -> None:
    make_token(parts)
    acts: list[Callable[[], object]] = [
        lambda: consumer_acts.seek(parts, "cli:ann", "ledger", 0),
        lambda: consumer_acts.share(parts, "cli:ann", "ledger", "app"),
        lambda: consumer_acts.give(parts, "cli:ann", "ledger", "app"),
    ]
    for act in acts:
        make_ledger(parts)
        with while_held(parts, remove_ledger, act) as (acting,), pytest.raises(NotFound, match="'ledger' any more"):
            acting.result()


@only_postgresql
def test_nothing_is_left_of_what_an_app_reads_while_its_consumer_is_removed(parts: Runtime) -> None:
    make_token(parts)
    make_ledger(parts)
    notes, reader = ReadNotes(parts.database), ConsumerReader("ledger", "app")
    with ThreadPoolExecutor(1) as pool:
        with parts.database.write() as connection:
            consumer_acts.open_in(connection, "app", "ledger", parts.clock())
            removing = pool.submit(consumer_acts.remove, parts, "cli:ann", "ledger")
            wait_until(lambda: waiting(parts))
            consumer_ranges.note(connection, "ledger", ConsumerAct.READ, "app", Range(0, 3), parts.clock())
        removing.result()
    notes.read(reader, Range(0, 5), parts.clock())
    assert rows(parts, ConsumerRange) == []


def make_ledger(parts: Runtime) -> None:
    with parts.database.write() as connection:
        consumers.create(connection, "ledger", parts.clock())
