"""Writing a delivery down once, whatever comes again, together, or in the wrong order."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Row, select, text
from store.made import delivery, event, record

from receiver.model import Agreement, ProofStrength, Status, SubjectKind
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import events, feed, late, payments
from receiver.store.records import NonceReused, Recorded
from receiver.store.sources import SourceRecord
from receiver.store.tables import Delivery, Event, FeedEntry, Repeat, Subject, table_of


def rows(parts: Runtime, model: Any) -> list[Row[Any]]:
    catch_up(parts.database)
    table = table_of(model)
    with parts.database.read() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))


def test_the_same_nonce_with_the_same_body_is_the_same_delivery(parts: Runtime, source: SourceRecord) -> None:
    first = record(parts, delivery(parts, source, nonce="n", body=b"x"), event(parts, "a"))
    again = record(parts, delivery(parts, source, nonce="n", body=b"x"), event(parts, "a"))
    assert (again.event_ids, again.is_new) == (first.event_ids, False)
    assert len(rows(parts, Delivery)) == len(rows(parts, Event)) == 1
    assert rows(parts, Repeat) == []


@pytest.mark.parametrize("other", [{"body": b"y"}, {"path": "/webhooks/bcb/elsewhere"}])
def test_the_same_nonce_with_another_body_or_path_is_refused_and_leaves_nothing(
    parts: Runtime, source: SourceRecord, other: dict[str, Any]
) -> None:
    record(parts, delivery(parts, source, nonce="n", body=b"x"), event(parts, "a"))
    with pytest.raises(NonceReused, match="'n'"):
        record(parts, delivery(parts, source, **{"nonce": "n", "body": b"x"} | other), event(parts, "b"))
    assert len(rows(parts, Delivery)) == len(rows(parts, Event)) == len(rows(parts, FeedEntry)) == 1


def test_deliveries_without_a_nonce_are_told_apart_by_their_events(parts: Runtime, source: SourceRecord) -> None:
    assert record(parts, delivery(parts, source, nonce=None), event(parts, "a")).is_new
    assert record(parts, delivery(parts, source, nonce=None), event(parts, "b")).is_new
    assert not record(parts, delivery(parts, source, nonce=None), event(parts, "b")).is_new


def test_the_same_event_in_another_delivery_is_a_repeat(parts: Runtime, source: SourceRecord) -> None:
    first = record(parts, delivery(parts, source), event(parts, "a"))
    second = delivery(parts, source)
    again = record(parts, second, event(parts, "a"))
    assert (again.event_ids, again.is_new, again.has_conflict) == (first.event_ids, False, False)
    assert [(row.delivery_id, row.conflict) for row in rows(parts, Repeat)] == [(second.id, False)]
    assert sorted(row.verdict for row in rows(parts, Delivery)) == ["accepted", "duplicate"]
    assert len(rows(parts, FeedEntry)) == 1


def test_the_same_bytes_are_stored_once(parts: Runtime, source: SourceRecord) -> None:
    for _ in range(2):
        record(parts, delivery(parts, source, body=b"the same"), event(parts, "a"))
    assert sorted((row.verdict, row.body) for row in rows(parts, Delivery)) == [
        ("accepted", b"the same"),
        ("duplicate", None),
    ]


def test_the_same_identity_with_other_content_is_a_conflict_that_is_kept(parts: Runtime, source: SourceRecord) -> None:
    record(parts, delivery(parts, source), event(parts, "a"))
    second = delivery(parts, source)
    again = record(parts, second, event(parts, "a", says="otherwise"))
    assert (again.is_new, again.has_conflict) == (False, True)
    assert [row.conflict for row in rows(parts, Event)] == [True]
    assert [(row.delivery_id, row.conflict) for row in rows(parts, Repeat)] == [(second.id, True)]
    assert [bytes(row.body) for row in rows(parts, Delivery) if row.verdict == "duplicate"] == [second.body]


def test_events_in_conflict_are_listed_newest_first(parts: Runtime, source: SourceRecord) -> None:
    for name, says in (("a", ""), ("b", ""), ("c", ""), ("a", "x"), ("c", "x"), ("b", "")):
        record(parts, delivery(parts, source), event(parts, name, says=says))
    with parts.database.read() as connection:
        listed = events.conflicting(connection, limit=10)
        assert {row.subject for row in listed} == {"a", "c"}
        assert [row.id for row in listed] == sorted((row.id for row in listed), reverse=True)
        assert [row.id for row in events.conflicting(connection, limit=1)] == [listed[0].id]
        assert events.identity_of(connection, listed[0].id) == hashlib.sha256(str(listed[0].subject).encode()).digest()


def test_a_conflict_is_not_forgotten_when_the_first_content_comes_again(parts: Runtime, source: SourceRecord) -> None:
    for says in ("", "otherwise", ""):
        record(parts, delivery(parts, source), event(parts, "a", says=says))
    assert [row.conflict for row in rows(parts, Event)] == [True]


def test_a_batch_tells_its_events_in_its_own_order(parts: Runtime, source: SourceRecord) -> None:
    told = [event(parts, name) for name in ("c", "a", "d", "b")]
    recorded = record(parts, delivery(parts, source), *told)
    assert recorded.event_ids == tuple(one.id for one in told)
    catch_up(parts.database)
    with parts.database.read() as connection:
        assert [entry.subject for entry in feed.read(connection, after=0, limit=10).entries] == ["c", "a", "d", "b"]
    assert len(rows(parts, Subject)) == 4


def test_a_batch_with_something_new_is_accepted_and_notes_what_came_again(parts: Runtime, source: SourceRecord) -> None:
    first = record(parts, delivery(parts, source), event(parts, "a"))
    new = event(parts, "b")
    batch = delivery(parts, source)
    recorded = record(parts, batch, event(parts, "a"), new)
    assert (recorded.event_ids, recorded.is_new) == ((*first.event_ids, new.id), True)
    assert [(row.event_id, row.delivery_id) for row in rows(parts, Repeat)] == [(first.event_ids[0], batch.id)]
    with parts.database.read() as connection:
        assert set(events.ids_of_delivery(connection, batch.id)) == set(recorded.event_ids)


def test_two_equal_events_in_one_delivery_are_one(parts: Runtime, source: SourceRecord) -> None:
    arrived = delivery(parts, source)
    first = event(parts, "a")
    recorded = record(parts, arrived, first, event(parts, "b"), event(parts, "a"))
    assert len(recorded.event_ids) == 2
    assert recorded.event_ids[0] == first.id
    assert (recorded.is_new, recorded.has_conflict) == (True, False)
    assert len(rows(parts, Event)) == len(rows(parts, FeedEntry)) == 2
    assert rows(parts, Repeat) == []
    with parts.database.read() as connection:
        assert [row.id for row in events.deliveries_of(connection, first.id)] == [arrived.id]


def test_two_events_of_one_identity_and_other_content_in_one_delivery_are_a_conflict(
    parts: Runtime, source: SourceRecord
) -> None:
    recorded = record(parts, delivery(parts, source), event(parts, "a"), event(parts, "a", says="otherwise"))
    assert (len(recorded.event_ids), recorded.is_new, recorded.has_conflict) == (1, True, True)
    assert [row.conflict for row in rows(parts, Event)] == [True]


@pytest.mark.parametrize(
    ("claims", "known"),
    [
        (["pending", "completed"], "completed"),
        (["completed", "pending"], "completed"),
        (["completed", None], "completed"),
        ([None, "pending"], "pending"),
        (["completed", "reversed"], "reversed"),
        (["completed", "reversed", "pending"], "reversed"),
    ],
)
def test_a_late_claim_that_it_is_pending_never_takes_back_a_later_one(
    parts: Runtime, source: SourceRecord, claims: list[str | None], known: str
) -> None:
    for claimed in claims:
        told = event(parts, f"a {claimed}", payment="a", claimed_status=claimed)
        record(parts, delivery(parts, source), told)
    (subject,) = rows(parts, Subject)
    assert (subject.claimed_status, subject.last_event_id) == (known, told.id)


def test_the_last_of_several_claims_in_one_delivery_counts(parts: Runtime, source: SourceRecord) -> None:
    told = [
        event(parts, f"{number}", payment="a", claimed_status=status)
        for number, status in enumerate(["completed", "rejected", "reversed", "cancelled", "returned"])
    ]
    record(parts, delivery(parts, source), *told)
    assert [row.claimed_status for row in rows(parts, Subject)] == ["returned"]


def test_a_repeat_does_not_make_a_settled_payment_due(parts: Runtime, source: SourceRecord) -> None:
    record(parts, delivery(parts, source), event(parts, "a"))
    catch_up(parts.database)
    with parts.database.write() as connection:
        connection.execute(table_of(Subject).update().values(due_at=None))
    record(parts, delivery(parts, source), event(parts, "a"))
    assert [row.due_at for row in rows(parts, Subject)] == [None]


def test_an_event_about_nothing_asks_the_bank_nothing(parts: Runtime, source: SourceRecord) -> None:
    record(parts, delivery(parts, source), event(parts, "a", kind="none", subject=None, payment_id=None))
    assert rows(parts, Subject) == []


def test_a_payment_and_a_job_of_one_name_are_two_subjects(parts: Runtime, source: SourceRecord) -> None:
    record(parts, delivery(parts, source), event(parts, "p", payment="x"), event(parts, "j", payment="x", kind="job"))
    assert sorted((row.kind, row.subject) for row in rows(parts, Subject)) == [("job", "x"), ("payment", "x")]


def test_a_retry_is_found_by_its_nonce_its_body_and_its_path(parts: Runtime, source: SourceRecord) -> None:
    arrived = delivery(parts, source)
    recorded = record(parts, arrived, event(parts, "a"))
    with parts.database.read() as connection:
        found = late.find_before(connection, arrived)
        assert isinstance(found, Recorded)
        assert (found.event_ids, found.is_new, found.waits) == (recorded.event_ids, False, False)
        assert late.find_before(connection, arrived._replace(nonce="other")) is None
        for other in (arrived._replace(body_sha256="other"), arrived._replace(path="/other")):
            assert isinstance(late.find_before(connection, other), NonceReused)


def test_batches_that_overlap_at_once_are_each_recorded_and_no_event_twice(
    parts: Runtime, source: SourceRecord
) -> None:
    names = [f"e{number}" for number in range(12)]
    together(
        parts,
        lambda turn: [event(parts, f"{turn} {name}") for name in names],
        lambda turn: [event(parts, f"{turn} {name}") for name in reversed(names)],
        source,
    )
    assert len(rows(parts, Event)) == len(rows(parts, FeedEntry)) == 12 * TURNS


def test_different_events_about_the_same_payments_in_opposite_order_do_not_block_each_other(
    parts: Runtime, source: SourceRecord
) -> None:
    payments = [f"p{number}" for number in range(12)]
    together(
        parts,
        lambda turn: [event(parts, f"one {turn} {name}", payment=name) for name in payments],
        lambda turn: [event(parts, f"two {turn} {name}", payment=name) for name in reversed(payments)],
        source,
    )
    assert len(rows(parts, Event)) == 24 * TURNS
    assert len(rows(parts, Subject)) == 12


TURNS = 10


def together(parts: Runtime, one: Any, two: Any, source: SourceRecord) -> None:
    """Record what two writers have at the same moment, `TURNS` times; a deadlock would raise."""
    start = threading.Barrier(2)

    def write(told: Any) -> None:
        for turn in range(TURNS):
            arrived, batch = delivery(parts, source), told(turn)
            start.wait(30)
            record(parts, arrived, *batch)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, told) for told in (one, two)]:
            done.result()


def test_words_of_the_vocabularies_are_stored_as_their_texts(parts: Runtime, source: SourceRecord) -> None:
    as_text = event(parts, "FT1", kind="payment", claimed_status="completed", proof="signature")
    as_word = event(
        parts, "FT2", kind=SubjectKind.PAYMENT, claimed_status=Status.COMPLETED, proof=ProofStrength.SIGNATURE
    )
    silent = event(parts, "FT3", claimed_status=None)
    record(parts, delivery(parts, source), as_text, as_word, silent)
    catch_up(parts.database)
    with parts.database.read() as connection:
        stored = connection.execute(text("SELECT kind, claimed_status, proof FROM events ORDER BY subject")).all()
        words = {(row.kind, row.status, row.agreement) for row in payments.listing(connection, "payment", limit=10)}
    assert stored == [("payment", "completed", "signature")] * 2 + [("payment", None, "signature")]
    assert {type(word) for row in stored for word in row} == {str, type(None)}
    assert words == {(SubjectKind.PAYMENT, Status.UNKNOWN, Agreement.UNCONFIRMED)}
    assert {type(word) for word in words.pop()} == {SubjectKind, Status, Agreement}
