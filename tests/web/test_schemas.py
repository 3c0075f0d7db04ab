"""The shapes of the API: what a 400 says, and that what is written is what is described."""

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from servers import ROOT
from werkzeug.datastructures import MultiDict

from receiver.store import feed
from receiver.store.consumers import NAME_TAKES
from receiver.web.operation import Operation
from receiver.web.schemas.base import Body, GivenTwice, Health, NoQuery, Query
from receiver.web.schemas.events import EventQuery
from receiver.web.schemas.feed import Acknowledgement, Entry, FeedPage, FeedQuery, Place, cloud_event
from receiver.web.schemas.payments import Check, Payment, PaymentInFull, PaymentQuery
from receiver.web.schemas.replays import PlanRequest, ReplayFilter, RunRequest
from receiver.web.schemas.times import asked_time, rfc3339
from receiver.web.schemas.wording import refusal

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)

TEXT = "a text of up to 256 characters, without NUL"
NAMED = "a text of 1 to 256 characters, without NUL"
TIME = "a time with its zone, such as 2026-01-31T12:00:00Z"
FILTERS = "delivery_id, event_id, payment_id, q, received_after, received_before, source, type"

ENTRY = feed.Entry(7, "bcb.deposit", "bcb", "FT1", NOON, "evt_1", {"amount": "1.00", "facts": {"none": None}}, "rpl_1")


@pytest.mark.parametrize(
    "written",
    ["2026-03-04T12:00:00Z", "2026-03-04t12:00:00z", "2026-03-04 12:00:00.000000999Z", "2026-03-04T11:30:00.0-00:30"],
)
def test_a_time_is_read_as_rfc_3339_has_it(written: str) -> None:
    assert asked_time(written) == NOON


@pytest.mark.parametrize(
    "written",
    [
        "20260304T120000Z",
        "2026-W10-3T12:00:00Z",
        "2026-063T12:00:00Z",
        "2026-03-04T12Z",
        "2026-03-04T12:00Z",
        "2026-03-04T12:00:00,5Z",
        "2026-03-04T12:00:00.Z",
        "2026-03-04T13:00:00+01",
        "2026-03-04T13:00:00+0100",
        "2026-03-04T12:00:30+00:00:30",
        "2026-03-04_12:00:00Z",
        "2026-03-04T24:00:00Z",
        "2026-03-04T12:00:00Z\n",
        "2026-03-04",
    ],
)
def test_what_is_no_time_by_rfc_3339_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="a time with its zone, such as"):
        asked_time(written)
    with pytest.raises(ValidationError):
        Place(to=written)


def test_the_plus_of_a_zone_may_arrive_as_a_space_and_a_space_may_stand_before_the_hour() -> None:
    found = EventQuery(received_after="2026-03-04 13:00:00 01:00", received_before="2026-03-04 12:00:00Z")
    assert (found.received_after, found.received_before) == (NOON, NOON)


@pytest.mark.parametrize(
    ("model", "name", "value", "takes"),
    [
        (EventQuery, "limit", "0", "a whole number from 1 to 1000"),
        (EventQuery, "limit", "1_0", "a whole number from 1 to 1000"),
        (FeedQuery, "wait", "31", "a whole number from 0 to 30"),
        (FeedQuery, "source", "\0", TEXT),
        (EventQuery, "type", "\ud800", TEXT),
        (EventQuery, "payment_id", "x" * 257, TEXT),
        (EventQuery, "received_after", "2026-03-04", TIME),
        (PaymentQuery, "agreement", "agreed", "one of: unconfirmed, confirmed, contradicted, unknown_to_bank"),
    ],
)
def test_a_refused_parameter_is_named_with_what_it_takes(model: type[Query], name: str, value: str, takes: str) -> None:
    with pytest.raises(ValidationError) as refused:
        model.read(MultiDict({name: value}))
    assert refusal(model, refused.value) == f"`{name}` takes {takes}."


@pytest.mark.parametrize(
    ("model", "given", "says"),
    [
        (Acknowledgement, {}, "Send `cursor`: a text of 1 to 4000 characters, without NUL."),
        (Place, {"to": "2026-03-04"}, f"`to` takes {TIME}."),
        (PlanRequest, {}, "Send `dry_run: true` for a plan first, then the `plan` that it answers."),
        (PlanRequest, {"filter": None}, f"`filter` takes an object with any of: {FILTERS}."),
        (
            PlanRequest,
            {"filter": {"paymentId": "x"}},
            f"`paymentId` is not known here; the nearest is `payment_id`. There are: {FILTERS}.",
        ),
        (
            Acknowledgement,
            {"cursor": "x", "curser": "x"},
            "`curser` is not known here; the nearest is `cursor`. There are: cursor.",
        ),
        (PlanRequest, {"filter": {"source": [1]}}, f"`source` takes {NAMED}, or a list of up to 100."),
        (PlanRequest, {"filter": {"received_before": 1}}, f"`received_before` takes {TIME}."),
        (PlanRequest, {"target": "x"}, "`target` takes one of: feed, bank, verification."),
        (PlanRequest, {"consumer": "a b"}, f"`consumer` takes {NAME_TAKES}."),
        (PlanRequest, {"consumer": None}, f"`consumer` takes {NAME_TAKES}."),
        (PlanRequest, {"per_second": 0}, "`per_second` takes a number from 0.01 to 10000."),
        (RunRequest, {"plan": ""}, "`plan` takes a text of 1 to 100000 characters."),
    ],
)
def test_a_refused_field_is_named_with_what_it_takes(model: type[Body], given: dict[str, Any], says: str) -> None:
    usual = {"dry_run": True, "reason": "a test"} if model is PlanRequest and given else {}
    with pytest.raises(ValidationError) as refused:
        model.model_validate({**usual, **given})
    assert refusal(model, refused.value) == says


def test_an_unknown_parameter_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ValidationError) as refused:
        EventQuery.read(MultiDict({"sorce": "bcb"}))
    said = refusal(EventQuery, refused.value)
    assert said.startswith("`sorce` is not known here; the nearest is `source`. There are: ")


def test_where_no_parameter_is_taken_none_is_offered() -> None:
    with pytest.raises(ValidationError) as refused:
        NoQuery.read(MultiDict({"limit": "1"}))
    assert refusal(NoQuery, refused.value) == "`limit` is not known here; nothing is taken."


@pytest.mark.parametrize("second", ["5", "6", ""])
def test_a_parameter_that_takes_one_value_is_refused_where_it_has_two(second: str) -> None:
    with pytest.raises(GivenTwice, match="limit"):
        FeedQuery.read(MultiDict([("limit", "5"), ("limit", second), ("source", "a"), ("source", "b")]))


def test_empty_parameters_count_as_absent() -> None:
    empty: MultiDict[str, str] = MultiDict(dict.fromkeys(EventQuery.model_fields, ""))
    assert EventQuery.read(empty) == EventQuery.read(MultiDict()) == EventQuery()


def test_every_filter_is_looked_for() -> None:
    """A field that a question has and the search has not would be ignored in silence."""
    several = ("type", "payment_id", "event_id", "currency", "account", "reference")
    given = {name: [name, "b"] for name in several} | {"status": ["pending"], "proof": ["token"]}
    given |= {"agreement": ["confirmed"], "q": ["1000 USD"], "amount_min": ["5"], "amount_max": ["5.50"]}
    given |= {"conflict": ["true"], "late": ["false"], "received_after": ["2026-03-04T12:00:00Z"]}
    given |= {"received_before": ["2026-03-04T13:00:00 01:00"]}
    assert set(EventQuery.model_fields) - {"source", "limit", "cursor"} == set(given)
    found = asdict(EventQuery.read(MultiDict(given)).wanted(["bcb"]))
    assert found == {
        **{name: [name, "b"] for name in several},
        "source": ["bcb"],
        "question": "1000 USD",
        "status": ["pending"],
        "proof": ["token"],
        "agreement": ["confirmed"],
        "amount_min": Decimal(5),
        "amount_max": Decimal("5.50"),
        "conflict": True,
        "late": False,
        "received_after": NOON,
        "received_before": NOON,
    }
    chosen = ReplayFilter(source="bcb", delivery_id="dlv_1", received_after="2026-03-04T12:00:00Z")
    assert asdict(chosen.selection(chosen.sources)) == {
        "sources": ("bcb",),
        "types": [],
        "payment_ids": [],
        "event_ids": [],
        "delivery_ids": ["dlv_1"],
        "received_after": NOON,
        "received_before": None,
        "chosen": "",
    }


@pytest.mark.parametrize(
    ("time", "written"),
    [
        (NOON, "2026-03-04T12:00:00.000000Z"),
        (NOON + timedelta(microseconds=1), "2026-03-04T12:00:00.000001Z"),
        (NOON.astimezone(timezone(timedelta(hours=1))), "2026-03-04T12:00:00.000000Z"),
    ],
)
def test_a_time_is_written_in_utc_to_the_microsecond(time: datetime, written: str) -> None:
    assert rfc3339(time) == written
    assert payment(created_at=time).shown()["created_at"] == written


def payment(**fields: Any) -> Payment:
    """A payment as the store gives it."""
    stored: dict[str, Any] = {
        "source": "bcb",
        "subject": "FT1",
        "status": "pending",
        "bank_status": None,
        "agreement": "unconfirmed",
        "claimed_status": None,
        "amount": "1000.00",
        "currency": "USD",
        "returns": None,
        "returned_by": None,
        "created_at": NOON,
        "updated_at": NOON,
        "due_at": None,
        "stalled_at": None,
        "checks": [],
    }
    return Payment.of(SimpleNamespace(**{**stored, **fields}))


def test_an_answer_is_made_of_what_is_stored_under_other_names_and_its_nulls_are_shown() -> None:
    shown = payment().shown()
    assert list(shown) == [name for name in PaymentInFull.model_fields if name != "next_check_why"]
    assert (shown["payment_id"], shown["amount"]) == ("FT1", "1000.00")
    assert (shown["returns"], shown["next_check_at"]) == (None, None)
    assert json.loads(payment().written()) == shown


def test_no_answer_fails_for_what_is_stored() -> None:
    assert payment(status="of a later release", amount="1,000").shown()["status"] == "of a later release"


@pytest.mark.parametrize(
    "entry", [ENTRY, ENTRY._replace(subject=None, event_id=None, replay_id=None, time=NOON)], ids=["all", "least"]
)
def test_an_entry_fits_its_description(entry: feed.Entry) -> None:
    made = cloud_event(entry)
    assert TypeAdapter(Entry).validate_python(made, strict=True, extra="forbid") == made
    assert ("subject" in made, "eventid" in made, "replayid" in made) == (entry is ENTRY,) * 3


def test_a_page_that_is_written_fast_fits_its_description() -> None:
    page = FeedPage.model_construct(data=[cloud_event(ENTRY)], next="x", has_more=True)
    read = FeedPage.model_validate_json(page.written(), strict=True, extra="forbid")
    assert read.shown() == json.loads(page.written())
    assert set(json.loads(page.written())) == set(FeedPage.model_fields)


ODD = [10**30, "\ud800", -(2**63) - 1]


@pytest.mark.parametrize("odd", ODD)
def test_an_answer_may_hold_what_the_fast_way_refuses(odd: object) -> None:
    made = Check(at=NOON, bank_status=None, outcome="answered", detail={"odd": odd})
    assert json.loads(made.written()) == made.shown()


@pytest.mark.parametrize("odd", ODD)
def test_a_page_may_hold_what_the_fast_way_refuses(odd: object) -> None:
    entry = ENTRY._replace(data={"facts": {"odd": odd}})
    page = FeedPage.model_construct(data=[cloud_event(entry)], next="x", has_more=False)
    assert json.loads(page.written())["data"][0]["data"] == {"facts": {"odd": odd}}


def test_a_view_answers_with_a_status_that_it_describes_or_not_at_all() -> None:
    described = Operation("GET /x", {202: Health})
    assert described.status_of(Health(status="ok")) == 202
    with pytest.raises(TypeError, match="GET /x"):
        described.status_of(payment())


def test_the_shapes_need_no_flask() -> None:
    modules = sorted(path.stem for path in (ROOT / "receiver/web/schemas").glob("[a-z]*.py"))
    imports = "".join(f"import receiver.web.schemas.{name}\n" for name in modules)
    check = "import sys\nassert not {'flask', 'werkzeug'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", imports + check], cwd=ROOT, check=True)
