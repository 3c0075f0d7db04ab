"""Two attempts at one change at once: neither throws away what the other brings, in whatever order the bank answers."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from admin.looking import noted
from bank import SECRET
from conftest import StandingClock, add_source
from credentials.callbacks import known_secrets
from sqlalchemy import select
from tiny_bank import TinyBank, answer, serving

from receiver.admin import credentials as credential_acts
from receiver.admin import sources as acts
from receiver.credentials.attempts import Attempts
from receiver.credentials.outcomes import ChangeRefused, ChangeUnfinished
from receiver.credentials.rotation import ChangeRequest, CredentialChanges
from receiver.runtime import Runtime
from receiver.store import credential_changes, source_removal, sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import CredentialChange, table_of

ROTATE = ChangeRequest("rotate", "cli:test")
NEW_SECRET = "bmV3IHNlY3JldCBvZiAzMiBieXRlcywgZm9yIHRlc3RzIQ=="
ROTATED = {"clientId": "simulator-client", "clientSecret": "new", "messageSigningSecret": NEW_SECRET}


class Bank:
    """Answers each request for a change as the test says, and gives tokens for as long as the test says."""

    def __init__(self, server: TinyBank, parts: Runtime, source: SourceRecord) -> None:
        server.answer = self._answer
        self.takes_secret = True
        self.answers: list[Callable[[], tuple[int, object]]] = []
        self._parts, self._source = parts, source

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/auth/token":
            found: tuple[int, object] = (200, {"token": "t"}) if self.takes_secret else (401, None)
        else:
            found = self.answers.pop(0)()
        answer(handler, found[0], json.dumps(found[1]).encode())

    def next(self, status: int, body: object = None) -> None:
        """Have the next request for a change answered so."""
        self.answers.append(lambda: (status, body))

    def overtaken(self, ends: type[Exception], status: int, body: object, *, is_rotated: bool = False) -> None:
        """Have the next request answered so, only once another attempt has come and gone."""

        def overtake() -> tuple[int, object]:
            with self._parts.database.read() as connection:
                pending = credential_changes.pending(connection, self._source.id)
            assert pending is not None
            with pytest.raises(ends):
                CredentialChanges(self._parts).resume(self._source, pending)
            self.takes_secret = not is_rotated
            return status, body

        self.answers.append(overtake)


@pytest.fixture
def server() -> Iterator[TinyBank]:
    with serving() as running:
        yield running


@pytest.fixture
def source(parts: Runtime, server: TinyBank) -> SourceRecord:
    return add_source(parts, base_url=server.url)


@pytest.fixture
def bank(parts: Runtime, server: TinyBank, source: SourceRecord) -> Bank:
    return Bank(server, parts, source)


def states(parts: Runtime) -> list[str]:
    table = table_of(CredentialChange)
    with parts.database.read() as connection:
        return list(connection.execute(select(table.c.state).order_by(table.c.id)).scalars())


def assert_rotated(parts: Runtime, source: SourceRecord) -> None:
    assert states(parts) == ["done"]
    assert known_secrets(parts) == [NEW_SECRET, SECRET]
    with parts.database.read() as connection:
        own = sources.credentials(connection, parts.encryption, source)
    assert own == {"client_id": "simulator-client", "client_secret": "new"}


@pytest.mark.parametrize("status", [408, 409, 425])
def test_a_second_attempt_that_comes_while_the_bank_is_at_work_gives_nothing_up(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges, status: int
) -> None:
    bank.overtaken(ChangeUnfinished, 200, ROTATED)
    bank.next(status, {"error": "in progress"})
    assert changes.make(source, ROTATE, pauses=()).state == "done"
    assert_rotated(parts, source)


def test_an_answer_to_a_change_that_another_attempt_took_for_refused_is_taken(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges
) -> None:
    bank.overtaken(ChangeRefused, 200, ROTATED)
    bank.next(403)
    assert changes.make(source, ROTATE, pauses=()).state == "done"
    assert_rotated(parts, source)


def given_up(
    parts: Runtime, bank: Bank, source: SourceRecord, body: object, then: Callable[[], object] = lambda: None
) -> None:
    """Have the next request answered with `body`, only once a person has given the change up, and done `then`."""

    def give_up() -> tuple[int, object]:
        CredentialChanges(parts).abandon(source, "cli:somebody")
        then()
        return 200, body

    bank.answers.append(give_up)


def test_an_answer_to_a_rotation_that_a_person_has_given_up_meanwhile_is_taken(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges
) -> None:
    given_up(parts, bank, source, ROTATED)
    assert changes.make(source, ROTATE, pauses=()).state == "done"
    assert_rotated(parts, source)


def test_of_a_new_client_that_a_person_has_given_up_meanwhile_the_secret_is_taken_and_its_name_told(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges, caplog: pytest.LogCaptureFixture
) -> None:
    made = {**ROTATED, "clientId": "made"}
    given_up(parts, bank, source, made)
    with pytest.raises(ChangeRefused, match="abandoned; the client made was made for it, and lives on at the bank"):
        changes.make(source, ChangeRequest("create", "cli:test"), pauses=())
    assert states(parts) == ["abandoned"]
    assert set(known_secrets(parts)) == {NEW_SECRET, SECRET}
    about = {"source": source.name, "client": "made", "secret_version": 2}
    assert noted(parts)[-1] == ("cli:test", "credentials.create.late", about)
    with parts.database.read() as connection:
        own = sources.credentials(connection, parts.encryption, source)
    assert own is not None
    assert own["client_id"] == "simulator-client"
    assert NEW_SECRET not in caplog.text


def test_a_client_for_another_app_that_was_given_up_meanwhile_is_there_to_be_shown(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges
) -> None:
    given_up(parts, bank, source, {**ROTATED, "clientId": "made"})
    done = changes.make(source, ChangeRequest("issue", "cli:test"), pauses=())
    assert (done.client_id, credential_acts.show(parts, "cli:test", source.name, done)["client_secret"]) == (
        "made",
        "new",
    )


def test_an_answer_to_what_was_given_up_is_not_put_over_what_the_same_client_was_given_since(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges, caplog: pytest.LogCaptureFixture
) -> None:
    by_hand = {"client_id": "simulator-client", "client_secret": "by hand"}
    given_up(parts, bank, source, ROTATED, lambda: acts.set_credentials(parts, "cli:somebody", source.name, by_hand))
    with pytest.raises(ChangeRefused, match="has ended meanwhile: abandoned"):
        changes.make(source, ROTATE, pauses=())
    with parts.database.read() as connection:
        assert sources.credentials(connection, parts.encryption, source) == by_hand
    assert known_secrets(parts) == [SECRET]
    assert "an answer to a change (rotate) of bcb that is over is not used" in caplog.text


def test_an_attempt_before_which_the_source_is_given_other_credentials_asks_the_bank_for_nothing(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges
) -> None:
    bank.next(500)
    with pytest.raises(ChangeUnfinished):
        changes.make(source, ROTATE, pauses=())
    with parts.database.write() as connection:
        pending = credential_changes.pending(connection, source.id)
        assert pending is not None
        begun = credential_changes.begin_attempt(connection, pending, due_at=parts.clock())
    assert begun is not None
    by_hand = {"client_id": "simulator-client", "client_secret": "by hand"}
    acts.set_credentials(parts, "cli:somebody", source.name, by_hand)
    bank.next(200, ROTATED)
    with pytest.raises(ChangeRefused, match="has ended meanwhile: abandoned"):
        Attempts(parts, source).make(begun)
    assert len(bank.answers) == 1
    with parts.database.read() as connection:
        assert sources.credentials(connection, parts.encryption, source) == by_hand
    assert known_secrets(parts) == [SECRET]


@pytest.mark.parametrize("given", [None, {"client_id": "another", "client_secret": "x"}], ids=["none", "another"])
def test_a_late_answer_is_not_put_over_what_the_source_was_given_since_the_refusal(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges, given: dict[str, str] | None
) -> None:
    def give() -> tuple[int, object]:
        with parts.database.read() as connection:
            pending = credential_changes.pending(connection, source.id)
        assert pending is not None
        bank.next(403)
        with pytest.raises(ChangeRefused):
            changes.resume(source, pending)
        if given is None:
            with parts.database.write() as connection:
                source_removal.hide(connection, source, parts.clock())
        else:
            acts.set_credentials(parts, "cli:test", source.name, given)
        return 200, ROTATED

    bank.answers.append(give)
    with pytest.raises(ChangeRefused, match="has ended meanwhile"):
        changes.make(source, ROTATE, pauses=())
    with parts.database.read() as connection:
        assert sources.credentials(connection, parts.encryption, source) == given
    assert NEW_SECRET not in known_secrets(parts)


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_first_attempt_that_is_turned_away_after_a_second_one_was_begun_leaves_it_the_change(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges, clock: StandingClock, status: int
) -> None:
    bank.overtaken(ChangeUnfinished, status, None, is_rotated=True)
    bank.next(500)
    with pytest.raises(ChangeUnfinished):
        changes.make(source, ROTATE, pauses=())
    assert states(parts) == ["pending"]
    # The token that was kept still gets the answer, once the wait that goes with a 429 is over.
    clock.forward(300)
    bank.next(200, ROTATED)
    with parts.database.read() as connection:
        pending = credential_changes.pending(connection, source.id)
    assert pending is not None
    changes.resume(source, pending)
    assert_rotated(parts, source)


def test_a_first_request_that_is_in_conflict_with_how_things_stand_ends_it(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges
) -> None:
    bank.next(409, {"error": "disabled"})
    with pytest.raises(ChangeRefused, match="409 disabled"):
        changes.make(source, ROTATE, pauses=())
    assert states(parts) == ["refused"]


def test_an_answer_that_comes_after_a_later_change_was_done_takes_the_place_of_nothing(
    parts: Runtime, bank: Bank, source: SourceRecord, changes: CredentialChanges
) -> None:
    def rotated_anew() -> tuple[int, object]:
        with parts.database.read() as connection:
            pending = credential_changes.pending(connection, source.id)
        assert pending is not None
        bank.next(403)
        with pytest.raises(ChangeRefused):
            changes.resume(source, pending)
        bank.next(200, ROTATED)
        changes.make(source, ROTATE, pauses=())
        return 200, {**ROTATED, "clientSecret": "older"}

    bank.answers.append(rotated_anew)
    with pytest.raises(ChangeRefused, match="has ended meanwhile"):
        changes.make(source, ROTATE, pauses=())
    with parts.database.read() as connection:
        own = sources.credentials(connection, parts.encryption, source)
    assert states(parts) == ["refused", "done"]
    assert own == {"client_id": "simulator-client", "client_secret": "new"}
