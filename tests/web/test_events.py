"""`GET /api/v1/events`: what the banks told us."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from admin.looking import noted
from bank import BankSigner, deposit, job
from conftest import StandingClock, add_source, make_token
from flask.testing import FlaskClient
from replay.sending import REASON, planned, run, started, work_off
from sqlalchemy import select, update
from store import made
from web.reading import Headers, assert_problem, get, got, send, send_deposits, spoilt

from receiver.admin import event_story, evidence, exceptions
from receiver.admin import events as acts
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import audit, leases, outbox
from receiver.store.database import StoreUnavailable
from receiver.store.sources import SourceRecord
from receiver.store.tables import Delivery, Event, Subject, table_of
from receiver.web.schemas.times import rfc3339

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: the queries are tested on each in `tests/store`."""
    return sqlite_url


EVENTS = "/api/v1/events"


def ids(client: FlaskClient, token: Headers, **query: Any) -> list[str]:
    return [event["id"] for event in got(client, EVENTS, token, **query)["data"]]


def test_an_event_is_shown_to_the_letter(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    signed = bank.sign(deposit())
    event_id = send(client, signed)
    page = got(client, EVENTS, token)
    assert set(page) == {"data", "next", "complete"}
    assert (page["next"], page["complete"]) == (None, True)
    (event,) = page["data"]
    assert isinstance(event.pop("facts"), dict)
    assert event == {
        "id": event_id,
        "source": "bcb",
        "bank": "bcb",
        "type": "bcb.deposit",
        "subject": "FT2384654NXF6",
        "payment_id": "FT2384654NXF6",
        "received_at": "2026-03-04T12:00:00.000000Z",
        "proof": "signature",
        "proof_key": "secret:1",
        "claimed_status": "completed",
        "amount": "1000.00",
        "currency": "USD",
        "conflict": False,
        "late": False,
        "payload_sha256": hashlib.sha256(signed.body).hexdigest(),
        "found_by": None,
        "on_hold": False,
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_following_next_gives_every_event_once_newest_first(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock, limit: int
) -> None:
    sent = []
    for number in range(5):
        sent.append(send(client, bank.sign(deposit(transactionId=f"FT{number}"))))
        clock.forward(0.001)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = got(client, EVENTS, token, limit=limit, cursor=cursor)
        assert len(page["data"]) <= limit
        seen += [event["id"] for event in page["data"]]
        cursor = page["next"]
    assert seen == sent[::-1]


def test_events_of_one_instant_are_all_given_page_by_page(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    sent = send_deposits(client, bank, 5)
    first = got(client, EVENTS, token, limit=3)
    second = got(client, EVENTS, token, limit=3, cursor=first["next"])
    assert sorted(event["id"] for event in first["data"] + second["data"]) == sorted(sent)


def test_events_are_found_by_what_is_asked_for(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    add_source(parts, "other")
    first, second = send_deposits(client, bank, 2)
    of_job = send(client, bank.sign(job("job-1")))
    (elsewhere,) = send_deposits(client, bank, 1, "other")
    assert set(ids(client, token)) == {first, second, of_job, elsewhere}
    assert ids(client, token, type="bcb.job.completed") == [of_job]
    assert set(ids(client, token, payment_id="FT0")) == {first, elsewhere}
    assert ids(client, token, event_id=second) == [second]
    assert ids(client, token, source="other") == [elsewhere]
    assert len(ids(client, token, source=["other", "bcb"])) == 4
    assert ids(client, token, source="other", payment_id="FT1") == []
    assert ids(client, token, type="bcb.job.never") == []


def test_an_empty_filter_restricts_nothing(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    sent = send_deposits(client, bank, 2)
    empty = dict.fromkeys(("source", "type", "payment_id", "event_id", "received_after", "received_before"), "")
    assert sorted(ids(client, token, **empty, limit="", cursor="")) == sorted(sent)


def test_spans_of_time_that_adjoin_share_no_event_and_leave_none_out(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock
) -> None:
    """To the microsecond, though ids go by the millisecond."""
    times, sent = [], []
    for number, microseconds in enumerate([0, 1, 400, 999, 1000, 1001]):
        clock.now = clock.now.replace(microsecond=microseconds)
        times.append(clock.now)
        sent.append(send(client, bank.sign(deposit(transactionId=f"FT{number}"))))
    for place, time in enumerate(times):
        assert sorted(ids(client, token, received_before=rfc3339(time))) == sorted(sent[:place])
        assert sorted(ids(client, token, received_after=rfc3339(time))) == sorted(sent[place:])
    between = {"received_after": rfc3339(times[1]), "received_before": rfc3339(times[3])}
    assert sorted(ids(client, token, **between)) == sorted(sent[1:3])


@pytest.mark.parametrize(
    "written",
    ["2026-03-04T12:00:00Z", "2026-03-04t12:00:00z", "2026-03-04T13:00:00+01:00", "2026-03-04T07:30:00.000-04:30"],
)
def test_a_time_may_be_written_in_any_zone(client: FlaskClient, bank: BankSigner, token: Headers, written: str) -> None:
    sent = send_deposits(client, bank, 1)
    assert ids(client, token, received_after=written) == sent
    assert ids(client, token, received_before=written) == []


def test_a_plus_that_arrives_as_a_space_is_understood(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    sent = send_deposits(client, bank, 1)
    answer = client.get(f"{EVENTS}?received_after=2026-03-04T13:00:00+01:00", headers=token)
    assert [event["id"] for event in answer.get_json()["data"]] == sent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("limit", value) for value in ("0", "1001", "-1", "ten", "9" * 400)],
        *[
            (name, value)
            for name in ("received_after", "received_before")
            for value in (
                "yesterday",
                "2026-03-04T12:00:00",
                "2026-03-04",
                "2026-13-04T12:00:00Z",
                "1772625600",
                "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59-14:00",
                "1960-01-01T00:00:00Z",
                "\0",
            )
        ],
        *[
            (name, value)
            for name in ("source", "type", "payment_id", "event_id")
            for value in ("\0", "a\0b", "x" * 257)
        ],
    ],
)
def test_a_bad_parameter_is_named(client: FlaskClient, token: Headers, name: str, value: str) -> None:
    assert_problem(get(client, EVENTS, token, **{name: value}), 400, f"`{name}`")


def test_a_cursor_that_was_not_given_out_by_this_list_is_refused(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    send_deposits(client, bank, 2)
    cursors = spoilt(got(client, EVENTS, token, limit=1)["next"])
    cursors.append(got(client, "/api/v1/feed", token)["next"])
    for cursor in cursors:
        assert_problem(get(client, EVENTS, token, cursor=cursor), 400, "cursor")


def test_a_token_limited_to_a_source_sees_that_one_alone(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    add_source(parts, "other")
    (mine,) = send_deposits(client, bank, 1, "other")
    (theirs,) = send_deposits(client, bank, 1)
    limited = make_token(parts, sources=("other",), name="limited")
    assert ids(client, limited) == [mine]
    assert ids(client, limited, event_id=theirs) == []
    assert_problem(get(client, EVENTS, limited, source="bcb"), 403, "bcb")
    assert get(client, f"{EVENTS}/{mine}", limited).status_code == 200
    for path in (f"{EVENTS}/{theirs}", f"{EVENTS}/{theirs}/raw"):
        assert_problem(get(client, path, limited), 404)


@pytest.mark.parametrize("event_id", ["evt_0", "x", "evt_%00", "%00", "%FF", "%F0%9F%8F%A6", "a" * 3000, "-1"])
@pytest.mark.parametrize("rest", ["", "/raw"])
def test_an_event_that_is_not_there_is_not_found(client: FlaskClient, token: Headers, event_id: str, rest: str) -> None:
    assert_problem(get(client, f"{EVENTS}/{event_id}{rest}", token), 404)


@pytest.mark.parametrize("body", [b"\x00\xff not JSON \r\n", b'{"topic": "Deposits",\n "transactionId":"1"}  '])
def test_the_raw_bytes_are_those_that_came(client: FlaskClient, bank: BankSigner, token: Headers, body: bytes) -> None:
    event_id = send(client, bank.sign(body))
    answer = get(client, f"{EVENTS}/{event_id}/raw", token)
    assert (answer.status_code, answer.data) == (200, body)
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert got(client, f"{EVENTS}/{event_id}", token)["payload_sha256"] == hashlib.sha256(body).hexdigest()


def test_who_was_given_raw_bytes_is_noted_first_or_they_are_not_given(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = send(client, bank.sign(deposit()))
    get(client, f"{EVENTS}/{event_id}/raw", token)
    assert noted(parts) == [("token:app", "payload.read", {"source": "bcb", "event": event_id})]
    monkeypatch.setattr(audit, "write", unavailable)
    assert_problem(get(client, f"{EVENTS}/{event_id}/raw", token), 503)


@pytest.mark.parametrize("which", ["raw", "payload"])
def test_why_somebody_reads_what_the_bank_sent_is_noted_where_it_is_said(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, which: str
) -> None:
    path = f"{EVENTS}/{send(client, bank.sign(deposit()))}/{which}"
    for wrong in (" ", "x" * 501):
        assert_problem(get(client, path, token, reason=wrong), 400, "reason")
    assert noted(parts) == []
    for reason, why in (("case 7", "case 7"), ("", None)):
        assert get(client, path, token, reason=reason).status_code == 200
        with parts.database.read() as connection:
            assert audit.listing(connection, limit=1)[0].why == why


def test_raw_bytes_need_a_scope_of_their_own(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    event_id = send(client, bank.sign(deposit()))
    reader = make_token(parts, "events:read", name="reader")
    assert_problem(get(client, f"{EVENTS}/{event_id}/raw", reader), 403, "payloads:read")
    assert get(client, f"{EVENTS}/{event_id}", reader).status_code == 200


def test_raw_bytes_that_are_not_stored_any_more_are_gone(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    event_id = send(client, bank.sign(deposit()))
    with parts.database.write() as connection:
        connection.execute(update(table_of(Delivery)).values(body=None))
    assert_problem(get(client, f"{EVENTS}/{event_id}/raw", token), 410, "not stored any more")


def test_the_timeline_tells_what_happened_in_the_order_of_time(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, clock: StandingClock
) -> None:
    event_id = send(client, bank.sign(deposit()))
    clock.forward(1)
    check(parts, clock)
    clock.forward(1)
    send(client, bank.sign(deposit()))
    clock.forward(1)
    send(client, bank.sign(deposit(transactionDetails="Other details")))
    got(client, "/api/v1/feed", token)
    event = got(client, f"{EVENTS}/{event_id}", token)
    timeline = event.pop("timeline")
    assert (event.pop("hold"), [found["kind"] for found in event.pop("exceptions")]) == (None, ["conflict"])
    assert event == got(client, EVENTS, token)["data"][0]
    assert [(step["at"][17:19], step["what"]) for step in timeline] == [
        ("00", "signed"),
        ("00", "delivery"),
        ("00", "proven"),
        ("00", "feed"),
        ("01", "check"),
        ("02", "delivery"),
        ("03", "delivery"),
        ("03", "feed"),
    ]
    deliveries = [step for step in timeline if step["what"] == "delivery"]
    assert [(step["verdict"], step["conflict"]) for step in deliveries] == [
        ("accepted", False),
        ("duplicate", False),
        ("duplicate", True),
    ]
    fed, (asked,) = ([step for step in timeline if step["what"] == what] for what in ("feed", "check"))
    assert [(step["type"], step["position"]) for step in fed] == [("bcb.deposit", 1), ("exception.opened", 2)]
    assert (asked["outcome"], asked["bank_status"]) == ("answered", "Completed")


def test_an_entry_has_its_position_in_the_timeline_where_nobody_projects(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    event_id = send(client, bank.sign(deposit()))
    assert [step["position"] for step in steps(client, token, event_id, "feed")] == [1]


def test_a_copy_for_one_consumer_is_told_as_such_and_when_it_was_written(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, clock: StandingClock
) -> None:
    event_id = send(client, bank.sign(deposit()))
    catch_up(parts.database)
    clock.forward(60)
    replay_id = started(parts, planned(parts, consumer="ledger"))
    clock.forward(60)
    work_off(parts)
    assert [step["position"] for step in steps(client, token, event_id, "feed")] == [1]
    assert steps(client, token, event_id, "replay") == [
        {
            "at": "2026-03-04T12:02:00.000000Z",
            "what": "replay",
            "words": "A replay of token:app sent it again to ledger alone, at position 2.",
            "replay": replay_id,
            "type": "bcb.deposit",
            "position": 2,
            "consumer": "ledger",
            "requested_by": "token:app",
            "reason": REASON,
        }
    ]
    (_, copy) = evidence.packet(parts, "cli:clerk", event_id)["feed"]
    assert (copy["consumer"], copy["copied_at"]) == ("ledger", "2026-03-04T12:02:00.000Z")


def test_the_timeline_says_who_read_what_the_bank_sent_and_who_holds_it_and_why(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    event_id = send(client, bank.sign(deposit()))
    acts.raw(parts, "staff:ada", event_id, "case 7")
    acts.hold(parts, "cli:root", event_id, "case 7")
    told = [(step["act"], step["who"], step["why"], step["words"]) for step in steps(client, token, event_id, "act")]
    assert told == [
        ("payload.read", "staff:ada", "case 7", "staff:ada read what the bank sent."),
        ("event.held", "cli:root", "case 7", "cli:root put it on hold."),
    ]
    hold = got(client, f"{EVENTS}/{event_id}", token)["hold"]
    assert hold == {"held_at": "2026-03-04T12:00:00.000000Z", "held_by": "cli:root", "reason": "case 7"}


def test_what_needs_a_person_is_told_to_who_may_read_it(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    event_id = send(client, bank.sign(deposit()))
    send(client, bank.sign(deposit(transactionDetails="Other details")))
    (found,) = got(client, f"{EVENTS}/{event_id}", token)["exceptions"]
    assert found == got(client, f"/api/v1/exceptions/{found['id']}", token)
    exceptions.acknowledge(parts, "staff:ada", found["id"], "the payer called")
    exceptions.resolve(parts, "staff:ada", found["id"], "the payer wrote")
    told = [(step["act"], step["why"]) for step in steps(client, token, event_id, "act")]
    assert told == [("exception.acknowledged", "the payer called"), ("exception.resolved", "the payer wrote")]
    weak = make_token(parts, "events:read", name="weak")
    assert got(client, f"{EVENTS}/{event_id}", weak)["exceptions"] is None
    assert steps(client, weak, event_id, "act") == []


def unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailable("the disk is full")


def test_nothing_is_derived_for_who_may_not_see_the_event(
    client: FlaskClient, bank: BankSigner, parts: Runtime
) -> None:
    add_source(parts, "other")
    limited = make_token(parts, sources=("bcb",))
    (event_id,) = send_deposits(client, bank, 1, "other")
    for asked in (event_id, "evt_0"):
        assert_problem(get(client, f"{EVENTS}/{asked}", limited), 404)
    with parts.database.read() as connection:
        assert outbox.state(connection).is_pending


def test_an_event_is_shown_without_what_can_t_be_opened_where_the_database_can_t_be_written(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = send(client, bank.sign(deposit()))
    send(client, bank.sign(deposit(transactionDetails="Other details")))
    catch_up(parts.database)
    with monkeypatch.context() as patches:
        patches.setattr(parts.database, "write", unavailable)
        event = got(client, f"{EVENTS}/{event_id}", token)
    assert (event["conflict"], event["exceptions"]) == (True, [])
    assert [step["position"] for step in event["timeline"] if step["what"] == "feed"] == [1]
    (found,) = got(client, f"{EVENTS}/{event_id}", token)["exceptions"]
    assert found["kind"] == "conflict"


def test_an_event_whose_entry_waits_is_not_shown_where_the_database_can_t_be_written(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = send(client, bank.sign(deposit()))
    monkeypatch.setattr(parts.database, "write", unavailable)
    assert_problem(get(client, f"{EVENTS}/{event_id}", token), 503)


@pytest.mark.parametrize("scope", ["payloads:read", "replays:write", "payments:read", "feed:read"])
def test_why_somebody_did_something_is_told_to_who_may_do_as_much(
    client: FlaskClient, bank: BankSigner, parts: Runtime, scope: str
) -> None:
    event_id = send(client, bank.sign(deposit()))
    acts.raw(parts, "staff:ada", event_id, "case 7")
    acts.hold(parts, "cli:root", event_id, "case 7")
    catch_up(parts.database)
    run(parts)
    event = got(client, f"{EVENTS}/{event_id}", make_token(parts, "events:read", scope))
    of_payload = "case 7" if scope == "payloads:read" else None
    assert (event["hold"]["held_by"], event["hold"]["reason"]) == ("cli:root", of_payload)
    told = [(step["who"], step["why"]) for step in event["timeline"] if step["what"] == "act"]
    assert told == [("staff:ada", of_payload), ("cli:root", of_payload)]
    (replay,) = (step for step in event["timeline"] if step["what"] == "replay")
    of_replay = REASON if scope == "replays:write" else None
    assert (replay["requested_by"], replay["reason"]) == ("token:app", of_replay)


def test_api_and_packet_tell_the_one_story(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, clock: StandingClock
) -> None:
    event_id = send(client, bank.sign(deposit()))
    send(client, bank.sign(deposit(transactionDetails="Other details")))
    check(parts, clock)
    got(client, "/api/v1/consumers/ledger/feed", token)
    run(parts)
    packed = evidence.packet(parts, "cli:root", event_id)
    timeline = got(client, f"{EVENTS}/{event_id}", token)["timeline"]
    assert [step["words"] for step in packed["timeline"]] == [step["words"] for step in timeline]
    assert {step["what"] for step in timeline} >= {"delivery", "feed", "check", "consumer", "replay", "act"}


def steps(client: FlaskClient, token: Headers, event_id: str, what: str) -> list[Any]:
    """What an event's timeline tells of one kind."""
    return [step for step in got(client, f"{EVENTS}/{event_id}", token)["timeline"] if step["what"] == what]


def test_a_delivery_that_tells_other_events_too_is_a_conflict_where_it_contradicts_the_first(
    client: FlaskClient, token: Headers, parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    first, other = made.event(parts, "A1"), made.event(parts, "A2")
    made.record(parts, made.delivery(parts, source), first)
    clock.forward(1)
    made.record(parts, made.delivery(parts, source), made.event(parts, "A1", says="otherwise"), other)
    for event_id, expected in (
        (first.id, [("accepted", False), ("accepted", True)]),
        (other.id, [("accepted", False)]),
    ):
        told = steps(client, token, event_id, "delivery")
        assert [(step["verdict"], step["conflict"]) for step in told] == expected


def check(parts: Runtime, clock: StandingClock, about: str | None = None, outcome: str = "answered") -> None:
    catch_up(parts.database)
    subjects = table_of(Subject)
    which = select(subjects.c.id) if about is None else select(subjects.c.id).where(subjects.c.subject == about)
    with parts.database.write() as connection:
        subject_id = connection.execute(which).scalar_one()
        leases.add_check(
            connection, subject_id, at=clock(), outcome=outcome, bank_status="Completed", detail={"status": "x"}
        )


def test_the_checks_of_a_reference_and_of_the_payment_behind_it_are_told_alike_by_api_and_page(
    client: FlaskClient, token: Headers, parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    told = made.event(parts, "REF1", kind="reference", payment_id=None)
    made.record(parts, made.delivery(parts, source), told)
    check(parts, clock, "REF1", "not_known")
    made.record(parts, made.delivery(parts, source), made.event(parts, "PAY1"))
    events = table_of(Event)
    with parts.database.write() as connection:
        connection.execute(update(events).where(events.c.subject == "REF1").values(payment_id="PAY1"))
    clock.forward(1)
    check(parts, clock, "PAY1")
    assert [step["outcome"] for step in steps(client, token, told.id, "check")] == ["not_known", "answered"]
    story = event_story.story(parts, told.id)
    assert [each.outcome for each in story.checks] == ["not_known", "answered"]
    assert story.subject is not None
    assert (story.subject.kind, story.subject.subject) == ("payment", "PAY1")


def test_a_time_in_the_future_finds_nothing(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock
) -> None:
    send(client, bank.sign(deposit()))
    assert ids(client, token, received_after=rfc3339(clock() + timedelta(days=300))) == []
    assert ids(client, token, received_after="9998-12-31T23:59:59Z") == []
