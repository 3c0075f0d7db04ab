"""Searching for events: each is found once it is on disk, by whatever is known of it, newest first, page by page."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import StandingClock, add_source
from sqlalchemy import text, update
from store.made import delivery, event, record
from web.rows import rows

from receiver.projection.projector import catch_up, index_all
from receiver.runtime import Runtime
from receiver.store import outbox, search, search_index, search_walk
from receiver.store.search import Wanted
from receiver.store.sources import SourceRecord
from receiver.store.tables import Event, FeedEntry, OutboxEntry, SearchEvent, SearchKey, Subject, table_of
from receiver.worker.chores import SearchIndex


def found(parts: Runtime, limit: int = 50, **wanted: Any) -> list[str | None]:
    """The subjects of the events that are found, newest first, on all pages."""
    index_all(parts.database)
    return [subject for page in pages(parts, limit, **wanted) for subject in page]


def pages(parts: Runtime, limit: int, **wanted: Any) -> Iterator[list[str | None]]:
    below: int | None = None
    while True:
        with parts.database.read() as connection:
            page = search.page(connection, Wanted(**wanted), below=below, limit=limit)
        assert len(page.events) <= limit
        yield [event.subject for event in page.events]
        if page.below is None:
            return
        assert below is None or page.below < below
        below = page.below


def tell(parts: Runtime, source: SourceRecord, name: str, **changes: Any) -> str:
    """Write down an event of its own delivery; return its id."""
    made = event(parts, name, **changes)
    record(parts, delivery(parts, source), made)
    return made.id


@pytest.fixture
def told(parts: Runtime, source: SourceRecord, clock: StandingClock) -> dict[str, str]:
    """Events of several kinds, an hour apart; their ids by subject."""
    other = add_source(parts, "other")
    ids = {}
    for name, owner, changes in (
        ("FT1", source, {"amount": "1000.00", "currency": "USD", "facts": {"account_number": "1046406142"}}),
        ("FT2", source, {"amount": "-250.5", "facts": {"account_number": "DE89370400440532013000"}}),
        ("JOB3", source, {"kind": "job", "payment_id": None, "type": "bcb.job.completed", "amount": None}),
        ("FT4", other, {"amount": "99.99", "facts": {"remittance": "Invoice 2026-0815 Müller"}, "proof": "token"}),
        ("FT5", other, {"claimed_status": "pending", "facts": {"external_reference": "Rent 7"}, "late": True}),
    ):
        ids[name] = tell(parts, owner, name, **changes)
        clock.forward(3600)
    return ids


FOUND_BY: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["FT5", "FT4", "JOB3", "FT2", "FT1"]),
    ({"question": "ft"}, ["FT5", "FT4", "FT2", "FT1"]),
    ({"question": "JOB3"}, ["JOB3"]),
    ({"question": "1,000.00"}, ["FT1"]),
    ({"question": "1000 usd"}, ["FT1"]),
    ({"question": "250.50"}, ["FT2"]),
    ({"question": "DE89 3704"}, ["FT2"]),
    ({"question": "muller 2026-08"}, ["FT4"]),
    ({"question": "muller 2027"}, []),
    ({"question": "rent7"}, ["FT5"]),
    ({"account": ["DE89 3704 0044 0532 0130 00"]}, ["FT2"]),
    ({"account": ["DE89", "1046406142"]}, ["FT1"]),
    ({"account": [" "]}, []),
    ({"reference": ["rent 7"]}, ["FT5"]),
    ({"payment_id": ["FT1", "FT4", "ft2"], "currency": ["EUR", "usd"]}, ["FT4", "FT1"]),
    ({"currency": ["USD"]}, ["FT1"]),
    ({"source": ["other"], "question": "ft"}, ["FT5", "FT4"]),
    ({"source": ["nobody"], "question": "ft"}, []),
    ({"type": ["bcb.job.completed", "bcb.never"], "proof": ["signature"]}, ["JOB3"]),
    ({"amount_min": Decimal(99), "amount_max": Decimal("250.5")}, ["FT4", "FT2"]),
    ({"amount_min": Decimal(500), "currency": ["EUR"]}, []),
    ({"proof": ["token"]}, ["FT4"]),
    ({"status": ["pending"]}, ["FT5"]),
    ({"late": True, "question": "f"}, ["FT5"]),
    ({"late": False, "question": "f", "source": ["other"]}, ["FT4"]),
    ({"conflict": True}, []),
    ({"conflict": False}, ["FT5", "FT4", "JOB3", "FT2", "FT1"]),
    ({"agreement": ["unconfirmed"], "question": "FT"}, ["FT5", "FT4", "FT2", "FT1"]),
    ({"agreement": ["confirmed"]}, []),
]


@pytest.mark.usefixtures("told")
def test_events_are_found_by_all_that_is_asked_for(parts: Runtime) -> None:
    for wanted, subjects in FOUND_BY:
        for limit in (1, 50):
            assert found(parts, limit, **wanted) == subjects, wanted


def test_events_are_found_by_the_beginning_of_their_id_and_of_each_delivery_s(
    parts: Runtime, source: SourceRecord, told: dict[str, str]
) -> None:
    again = delivery(parts, source)
    record(parts, again, event(parts, "FT1"))
    assert found(parts, question=told["FT4"]) == ["FT4"]
    assert found(parts, question=told["FT4"][:13].upper()) == ["FT4"]
    assert found(parts, question=again.id) == ["FT1"]
    assert found(parts, question="evt_", currency=["USD"]) == ["FT1"]
    assert found(parts, question="dlv_", type=["bcb.job.completed"]) == ["JOB3"]
    assert found(parts, event_id=[told["FT1"], told["FT2"]], amount_min=Decimal(500)) == ["FT1"]


def test_a_span_of_time_includes_its_beginning_and_not_its_end(
    parts: Runtime, told: dict[str, str], clock: StandingClock
) -> None:
    at = {name: clock() - timedelta(hours=5 - number) for number, name in enumerate(told)}
    assert found(parts, question="f", received_after=at["FT2"], received_before=at["FT5"]) == ["FT4", "FT2"]
    assert found(parts, question="f", received_after=clock()) == []
    assert found(parts, question="f", received_before=at["FT1"]) == []


@pytest.mark.usefixtures("told")
def test_an_event_that_comes_again_with_other_content_is_found_as_a_conflict(
    parts: Runtime, source: SourceRecord
) -> None:
    assert found(parts, conflict=True) == []
    # Once before it is indexed, and once afterwards.
    tell(parts, source, "FT1", says="something else")
    tell(parts, source, "FT6")
    tell(parts, source, "FT6", says="something else")
    assert found(parts, conflict=True) == ["FT6", "FT1"]
    assert found(parts, conflict=True, question="FT1") == ["FT1"]
    assert "FT1" not in found(parts, conflict=False)


@pytest.mark.usefixtures("told")
def test_agreement_is_what_it_is_now(parts: Runtime) -> None:
    subjects = table_of(Subject)
    index_all(parts.database)
    with parts.database.write() as connection:
        connection.execute(update(subjects).where(subjects.c.subject == "FT2").values(agreement="contradicted"))
    assert found(parts, agreement=["contradicted"]) == ["FT2"]
    assert found(parts, agreement=["contradicted", "unconfirmed"], source=["other"]) == ["FT5", "FT4"]


def test_what_was_told_by_a_reference_goes_by_the_payment_behind_it_as_its_page_does(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(parts, source, "REF1", kind="reference", payment_id=None)
    catch_up(parts.database)
    tell(parts, source, "PAY1", says="by its own id")
    index_all(parts.database)
    subjects, events = table_of(Subject), table_of(Event)
    with parts.database.write() as connection:
        connection.execute(update(events).where(events.c.subject == "REF1").values(payment_id="PAY1"))
        connection.execute(update(subjects).where(subjects.c.subject == "PAY1").values(agreement="contradicted"))
    for few in (search.FEW_SUBJECTS, 0):
        monkeypatch.setattr(search, "FEW_SUBJECTS", few)
        assert found(parts, agreement=["contradicted"]) == ["PAY1", "REF1"], few
        assert found(parts, agreement=["unconfirmed"]) == [], few


@pytest.mark.usefixtures("told")
def test_agreement_is_met_on_the_way_where_many_are_in_a_state(parts: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FEW_SUBJECTS", 1)
    assert found(parts, 2, agreement=["unconfirmed"], source=["bcb"]) == ["JOB3", "FT2", "FT1"]


def test_a_search_that_finds_little_ends_and_says_where_to_go_on(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOKED_AT_MAX", 3)
    monkeypatch.setattr(search, "LOOKED_AT_ONCE", 3)
    for number in range(10):
        tell(parts, source, f"FT{number}", facts={"remittance": "red" if number in (1, 8) else f"blue B{number}"})
    index_all(parts.database)
    seen = list(pages(parts, 5, question="FT", conflict=False, payment_id=["FT1", "FT8"], agreement=["unconfirmed"]))
    assert [subject for page in seen for subject in page] == ["FT8", "FT1"]


@pytest.mark.parametrize("read_max", [1, 3, 2000])
def test_it_is_found_newest_first_across_blocks(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch, read_max: int
) -> None:
    """However dense it is: blocks are of two positions here."""
    for module in (search, search_index):
        monkeypatch.setattr(module, "BLOCK_BITS", 1)
    monkeypatch.setattr(search_walk, "READ_MAX", read_max)
    for number in range(20):
        tell(parts, source, f"FT{number:02}", facts={"remittance": "odd" if number % 7 == 3 else "even even"})
    names = [f"FT{number:02}" for number in reversed(range(20))]
    assert found(parts, 3, question="ft") == names
    assert found(parts, 2, question="odd") == ["FT17", "FT10", "FT03"]
    assert found(parts, 2, question="ft odd") == ["FT17", "FT10", "FT03"]
    assert found(parts, 50, question="even") == [name for name in names if name not in ("FT17", "FT10", "FT03")]


def test_the_entry_of_a_replay_and_what_is_derived_are_no_events_of_their_own(
    parts: Runtime, source: SourceRecord, told: dict[str, str]
) -> None:
    entry: dict[str, Any] = {"source_id": source.id, "subject": "FT1", "event_id": told["FT1"], "data": {}}
    replayed = {"type": "bcb.deposit", "replay_id": "r1", "time": parts.clock(), **entry}
    with parts.database.write() as connection:
        connection.execute(table_of(OutboxEntry).insert().values(replayed))
        outbox.append(connection, type="payment.status_changed", now=parts.clock(), **entry)
    assert found(parts, question="FT1") == ["FT1"]
    assert len(rows(parts, SearchEvent)) == 5


# Indexing


def forget(parts: Runtime) -> None:
    """Make a database as the release before had it: with entries, and without an index."""
    with parts.database.write() as connection:
        for table in ("search_keys", "search_events", "search_facets", "search_blocks", "search_conflicts"):
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - our own
        connection.execute(text("UPDATE search_progress SET through = (SELECT position FROM feed_head)"))
        connection.execute(text("UPDATE search_progress SET below = through + 1"))


@pytest.mark.usefixtures("told")
def test_older_events_are_indexed_by_the_worker_newest_first_and_once(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receiver.store.search_index.BATCH", 2)
    index_all(parts.database)
    tell(parts, source, "FT1", says="something else")
    forget(parts)
    tell(parts, source, "FT6")
    assert found(parts, question="f") == ["FT6"]
    chore = SearchIndex(parts)
    seen = []
    monkeypatch.setattr("receiver.worker.chores.BATCHES", 1)
    for _ in range(3):
        assert chore.index() == 0
        seen.append(found(parts, question="f"))
        with parts.database.read() as connection:
            assert search_index.older_left(connection) == max(0, 5 - 2 * len(seen))
    assert seen == [["FT6", "FT5", "FT4"], ["FT6", "FT5", "FT4", "FT2"], ["FT6", "FT5", "FT4", "FT2", "FT1"]]
    assert found(parts, conflict=True) == ["FT1"]


@pytest.mark.usefixtures("told")
def test_a_conflict_of_an_event_that_is_not_indexed_yet_is_no_reason_to_write(
    parts: Runtime, source: SourceRecord
) -> None:
    index_all(parts.database)
    forget(parts)
    tell(parts, source, "FT1", says="something else")
    commits = parts.database.commits
    index_all(parts.database)
    assert parts.database.commits == commits
    with parts.database.write() as connection:
        search_index.index_older(connection, 100)
    assert found(parts, conflict=True) == ["FT1"]


@pytest.mark.usefixtures("told")
def test_what_a_process_of_the_release_before_gave_positions_is_indexed_by_the_next_who_looks(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(search_index, "follow", lambda *_: False)
        index_all(parts.database)
    assert rows(parts, SearchEvent) == []
    monkeypatch.setattr(search_index, "BATCH", 2)
    assert found(parts, question="f") == ["FT5", "FT4", "FT2", "FT1"]


@pytest.mark.usefixtures("told")
def test_a_batch_that_fails_is_indexed_by_whoever_comes_next(parts: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(search_index, "_widen_blocks", fail)
        with pytest.raises(ZeroDivisionError):
            index_all(parts.database)
    assert rows(parts, SearchKey) == []
    assert found(parts, question="ft4") == ["FT4"]


@pytest.mark.usefixtures("told")
def test_indexing_twice_adds_nothing(parts: Runtime) -> None:
    index_all(parts.database)
    keys = rows(parts, SearchKey)
    with parts.database.write() as connection:
        connection.execute(text("UPDATE search_progress SET through = 0"))
    index_all(parts.database)
    assert rows(parts, SearchKey) == keys


@pytest.mark.usefixtures("told")
def test_a_gap_in_the_positions_stops_nothing(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "BATCH", 1)
    with monkeypatch.context() as before:
        before.setattr(search_index, "follow", lambda *_: False)
        index_all(parts.database)
    with parts.database.write() as connection:
        connection.execute(table_of(FeedEntry).delete().where(table_of(FeedEntry).c.position.in_([2, 3, 4])))
    tell(parts, source, "FT6")
    assert found(parts, question="f") == ["FT6", "FT5", "FT1"]
