"""Claims of an upgraded database: their times order them, and what the bank has confirmed of them is known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conftest import ENCRYPTION
from sqlalchemy import text

from receiver.store import claims, schema
from receiver.store.claims import NewClaim
from receiver.store.database import Database

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)

SOURCE = """
INSERT INTO sources (id, name, bank, environment, options, enabled, created_at)
VALUES (1, 'bank', 'connectpay', 'sandbox', '{}', TRUE, '2026-03-04 12:00:00.000000+00:00')
"""
SUBJECT = """
INSERT INTO subjects (source_id, kind, subject, status, agreement, claimed_status, created_at, updated_at, attempts)
VALUES (1, 'payment', 'P-1', 'unknown', 'unconfirmed', 'completed', '2026-03-04 12:00:00.000000+00:00',
        '2026-03-04 12:00:00.000000+00:00', 0)
"""
JUDGED = """
INSERT INTO subjects (source_id, kind, subject, status, agreement, claimed_status, created_at, updated_at, attempts,
                      due_at, purpose)
VALUES (1, 'payment', :subject, :status, :agreement, :claimed, '2026-03-04 12:00:00.000000+00:00',
        '2026-03-04 12:00:00.000000+00:00', 0, :due_at, :purpose)
"""
CHECK = """
INSERT INTO checks (subject_id, at, outcome, detail)
SELECT id, '2026-03-04 12:00:00.000000+00:00', :outcome, '{}' FROM subjects WHERE subject = :subject
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def first(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of the first release with a payment in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/old/receiver.db"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url)
    schema.upgrade(database, ENCRYPTION, "0001")
    with database.write() as connection:
        for statement in (SOURCE, SUBJECT):
            connection.execute(text(statement))
    yield database
    database.close()


@pytest.fixture
def old(first: Database) -> Database:
    """The same, brought to this release's tables."""
    schema.upgrade(first, ENCRYPTION)
    return first


def claim(database: Database, status: str | None, seconds: int | None) -> str:
    """Note a claim, told so many seconds from now; return which one stands."""
    told_at = None if seconds is None else NOW + timedelta(seconds=seconds)
    with database.write() as connection:
        claims.make_due(connection, [NewClaim(1, "payment", "P-1", status, None, None, "evt_1", NOW, told_at)])
        found: str = connection.execute(text("SELECT claimed_status FROM subjects")).scalar_one()
    return found


def test_what_was_there_before_has_no_time_and_gives_way_to_what_comes(old: Database) -> None:
    with old.read() as connection:
        assert connection.execute(text("SELECT claimed_status, claimed_at FROM subjects")).one() == ("completed", None)
    assert claim(old, "rejected", -1000) == "rejected"


def test_claims_with_times_stand_in_the_order_of_their_times(old: Database) -> None:
    told = [("rejected", 10), ("completed", 5), ("returned", 9), ("cancelled", 10), ("completed", 11), ("rejected", 1)]
    stand = [claim(old, status, seconds) for status, seconds in told]
    assert stand == ["rejected", "rejected", "rejected", "cancelled", "completed", "completed"]


def test_a_claim_without_a_time_counts_by_its_receipt(old: Database) -> None:
    assert claim(old, "rejected", 10) == "rejected"
    assert claim(old, "completed", None) == "completed"
    assert claim(old, "rejected", 5) == "rejected"


def test_a_pending_claim_and_none_at_all_change_neither_the_claim_nor_its_time(old: Database) -> None:
    assert claim(old, "rejected", 10) == "rejected"
    assert claim(old, "pending", 20) == "rejected"
    assert claim(old, None, 30) == "rejected"
    assert claim(old, "completed", 15) == "completed"


def test_a_pending_claim_gives_way_to_another_one_whichever_the_bank_told_first(old: Database) -> None:
    with old.write() as connection:
        connection.execute(text("UPDATE subjects SET claimed_status = NULL"))
    assert claim(old, "pending", 10) == "pending"
    assert claim(old, "rejected", 5) == "rejected"
    assert claim(old, "completed", 4) == "rejected"


def test_claims_of_one_delivery_stand_in_their_order(old: Database) -> None:
    told = [("completed", 20), ("rejected", 10)]
    many = [
        NewClaim(1, "payment", "P-1", status, None, None, "evt_1", NOW, NOW + timedelta(seconds=seconds))
        for status, seconds in told
    ]
    with old.write() as connection:
        claims.make_due(connection, many)
        assert connection.execute(text("SELECT claimed_status FROM subjects")).scalar_one() == "completed"


def test_what_the_bank_has_answered_before_the_upgrade_is_known_after_it_and_nothing_that_it_has_not(
    first: Database,
) -> None:
    schema.upgrade(first, ENCRYPTION, "0026")
    due = "2026-03-05 12:00:00.000000+00:00"
    # What it was, and how the checks came out: status, agreement, claim, due, purpose.
    known: dict[str, tuple[tuple[str, str, str, str | None, str], str]] = {
        "returned since": (("returned", "confirmed", "completed", None, "recheck"), "answered"),
        "looked at once more": (("returned", "confirmed", "completed", due, "recheck"), "not_known answered"),
        "as claimed": (("completed", "confirmed", "completed", due, "recheck"), "answered"),
        "claimed anew, and not asked for yet": (("returned", "confirmed", "rejected", due, "claim"), "answered"),
        "asked, and not answered": (("completed", "confirmed", "rejected", due, "recheck"), "answered unreachable"),
        "its checks are gone": (("completed", "confirmed", "rejected", due, "recheck"), ""),
        "never final": (("completed", "confirmed", "pending", due, "recheck"), "answered"),
        "contradicted": (("reversed", "contradicted", "completed", None, "recheck"), "answered"),
        "contradicted, and claimed anew": (("reversed", "contradicted", "rejected", due, "claim"), "answered"),
        "contradicted, and not answered": (("reversed", "contradicted", "rejected", due, "recheck"), "unreachable"),
    }
    with first.write() as connection:
        for subject, (row, outcomes) in known.items():
            names = ("status", "agreement", "claimed", "due_at", "purpose")
            connection.execute(text(JUDGED), {"subject": subject, **dict(zip(names, row, strict=True))})
            for outcome in outcomes.split():
                connection.execute(text(CHECK), {"subject": subject, "outcome": outcome})
    schema.upgrade(first, ENCRYPTION)
    query = "SELECT subject, confirmed_status, contradicted_status FROM subjects"
    filled = " WHERE confirmed_status IS NOT NULL OR contradicted_status IS NOT NULL"
    with first.read() as connection:
        assert {tuple(row) for row in connection.execute(text(query + filled))} == {
            ("returned since", "completed", None),
            ("looked at once more", "completed", None),
            ("contradicted", None, "completed"),
        }


def test_checks_before_the_upgrade_are_known_to_be_of_no_claim_where_there_is_none_yet(first: Database) -> None:
    schema.upgrade(first, ENCRYPTION, "0026")
    with first.write() as connection:
        for subject in ("asked for", "claimed"):
            row = {"status": "unknown", "agreement": "unknown_to_bank", "claimed": None, "due_at": None}
            connection.execute(text(JUDGED), {"subject": subject, **row, "purpose": "recheck"})
            connection.execute(text(CHECK), {"subject": subject, "outcome": "not_known"})
        connection.execute(text("UPDATE subjects SET last_event_id = 'evt_1' WHERE subject = 'claimed'"))
    schema.upgrade(first, ENCRYPTION)
    query = "SELECT subject, claimed FROM checks JOIN subjects ON subjects.id = subject_id"
    with first.read() as connection:
        found = {row.subject: row.claimed for row in connection.execute(text(query))}
    assert (found["claimed"], bool(found["asked for"]), found["asked for"] is None) == (None, False, False)
