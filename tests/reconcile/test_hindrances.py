"""Why a bank was not asked: one sentence for each reason, to a person who asks for a check."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from admin.looking import WHO
from conftest import add_source
from sqlalchemy import update
from store import made

from receiver.admin import payments, source_changes, sources
from receiver.bank_client import shared_token
from receiver.model import CredentialChangeKind, NotPossible
from receiver.projection.projector import catch_up
from receiver.reconcile import hindrances
from receiver.runtime import Runtime
from receiver.store import bank_tokens, circuits, credential_changes, request_budget
from receiver.store import payments as stored
from receiver.store.credential_changes import Intent
from receiver.store.sources import SourceRecord
from receiver.store.tables import Subject, table_of


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The queries are plain; one kind of database is enough."""
    return sqlite_url


@pytest.fixture
def known(parts: Runtime) -> SourceRecord:
    source = add_source(parts, base_url="http://127.0.0.1:9", requests_per_window=1)
    made.record(parts, made.delivery(parts, source), made.event(parts, "FT1"))
    catch_up(parts.database)
    return source


def spend(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        request_budget.take(connection, source.id, now=parts.clock(), limit=1, window=timedelta(seconds=3600))


def block(parts: Runtime, source: SourceRecord) -> None:
    spend(parts, source)
    with parts.database.write() as connection:
        request_budget.block(connection, source.id, parts.clock() + timedelta(minutes=5))


def lease(parts: Runtime, _source: SourceRecord) -> None:
    values = {"lease": "another", "leased_until": parts.clock() + timedelta(minutes=1)}
    with parts.database.write() as connection:
        connection.execute(update(table_of(Subject)).values(**values))


def probe(parts: Runtime, source: SourceRecord) -> None:
    pauses = timedelta(hours=1), timedelta(hours=1)
    with parts.database.write() as connection:
        circuits.fail(connection, source.id, now=parts.clock(), most=1, pauses=pauses, error="no answer came")
        circuits.enter(connection, source.id, now=parts.clock(), longest=pauses[1], is_person=True)


def fetch(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        until = parts.clock() + timedelta(seconds=30)
        bank_tokens.claim_fetching(connection, source.id, now=parts.clock(), until=until)


REASONS: dict[str, tuple[Callable[[Runtime, SourceRecord], object], str]] = {
    "disabled": (
        lambda parts, _: sources.disable(parts, WHO, "bcb"),
        "source bcb is disabled; `receiver source enable bcb` enables it",
    ),
    "removed": (lambda parts, _: source_changes.remove(parts, WHO, "bcb"), "source bcb was removed"),
    "spent": (spend, "the limit of bcb, 1 requests, is spent: no request before 2026-03-04 13:00:00 UTC"),
    "blocked": (block, r"the bank of bcb has said to wait \(429\): no request before 2026-03-04 12:05:00 UTC"),
    "tried": (
        probe,
        (
            r"the bank of bcb is down since 2026-03-04 12:00:00 UTC \(no answer came\): "
            "it is being tried just now, till 2026-03-04 12:02:00 UTC"
        ),
    ),
    "leased": (lease, r"a worker is asking about it just now \(its lease ends by 2026-03-04 12:01:00 UTC\)"),
}


@pytest.mark.parametrize(("hinder", "words"), REASONS.values(), ids=REASONS)
def test_a_check_that_is_not_made_says_why(
    parts: Runtime, known: SourceRecord, hinder: Callable[[Runtime, SourceRecord], object], words: str
) -> None:
    hinder(parts, known)
    with pytest.raises(NotPossible, match=f"^the bank was not asked: {words}$"):
        payments.check(parts, WHO, "bcb", "FT1")


def test_credentials_that_are_being_changed_are_a_reason(parts: Runtime, known: SourceRecord) -> None:
    intent = Intent(CredentialChangeKind.ROTATE, "simulator-client", None, "a-key", WHO, "a-token")
    with parts.database.write() as connection:
        credential_changes.begin(connection, parts.encryption, known, intent, now=parts.clock(), due_at=parts.clock())
        found = stored.find(connection, "bcb", "payment", "FT1")
    assert found is not None
    assert "are being changed (rotate)" in hindrances.reason(parts, found)


def test_a_token_that_is_being_fetched_for_too_long_is_a_reason(
    parts: Runtime, known: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_token, "FETCHING", timedelta(0))
    fetch(parts, known)
    with pytest.raises(NotPossible, match=r"^the bank was not asked: an access token of bcb is being fetched just now"):
        payments.check(parts, WHO, "bcb", "FT1")


@pytest.mark.usefixtures("known")
def test_a_lease_that_a_wrong_clock_has_given_is_no_reason(parts: Runtime) -> None:
    values = {"lease": "another", "leased_until": parts.clock() + timedelta(days=3650)}
    with parts.database.write() as connection:
        connection.execute(update(table_of(Subject)).values(**values))
        found = stored.find(connection, "bcb", "payment", "FT1")
    assert found is not None
    assert "is asking about it just now" not in hindrances.reason(parts, found)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("end", [sources.disable, source_changes.remove])
def test_a_payment_that_nobody_named_is_not_written_down_where_nothing_is_asked(
    parts: Runtime, end: Callable[[Runtime, str, str], object]
) -> None:
    end(parts, WHO, "bcb")
    with pytest.raises(NotPossible, match="the bank was not asked: source bcb"):
        payments.check(parts, WHO, "bcb", "FT2")
    with parts.database.read() as connection:
        assert stored.find(connection, "bcb", "payment", "FT2") is None
