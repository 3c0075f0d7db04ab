"""`/api/v1/days` and `receiver days`: business days as apps, operators and spreadsheets read them."""

import csv
import io
import json
from datetime import date, timedelta
from typing import Any

import pytest
from conftest import StandingClock, add_source, make_token
from flask.testing import FlaskClient
from reconcile.ledger import EVENING, MORNING, Ledger, add_silent, known_day

from receiver.reconcile import days as closing
from receiver.runtime import Runtime
from receiver.worker.loop import Worker

Headers = dict[str, str]

DAY = "/api/v1/days/bcb/2026-03-02"


@pytest.fixture
def ledger(parts: Runtime, clock: StandingClock) -> Ledger:
    """A ledger whose day is closed."""
    clock.now = MORNING - timedelta(days=1)
    made = Ledger(parts, add_source(parts))
    clock.now = EVENING + timedelta(hours=36)
    known_day(made)
    Worker(parts).run_once()
    return made


def get(client: FlaskClient, path: str, token: Headers, status: int = 200, **headers: str) -> Any:
    answer = client.get(path, headers=token | headers)
    assert answer.status_code == status, answer.text
    return answer.json if answer.is_json else answer.text


def test_a_day_is_answered_with_counts_sums_detection_and_its_lines_page_by_page(
    client: FlaskClient, token: Headers, ledger: Ledger
) -> None:
    found = get(client, f"{DAY}?limit=4", token)
    assert (found["source"], found["date"], found["state"], found["version"]) == ("bcb", "2026-03-02", "closed", 1)
    assert (found["begins_at"], found["ends_at"]) == ("2026-03-02T00:00:00.000000Z", "2026-03-03T00:00:00.000000Z")
    assert found["numbers"][0] == {
        "category": "amount_differs",
        "currency": "EUR",
        "number": 1,
        "bank_amount": "12.50",
        "our_amount": "12.00",
    }
    assert (found["detection"]["late"], found["detection"]["never"]) == (1, 3)
    assert [(each["version"], each["lines"]) for each in found["versions"]] == [(1, 13)]
    lines = found["data"]
    while found["next"]:
        found = get(client, f"{DAY}?limit=4&cursor={found['next']}", token)
        lines += found["data"]
    assert len({line["payment_id"] for line in lines}) == len(lines) == 13
    assert [line["category"] for line in lines[:4]] == ["amount_differs", *["status_differs"] * 3]
    assert ledger.source.name == "bcb"


def test_pages_stay_in_their_version(client: FlaskClient, token: Headers, ledger: Ledger, parts: Runtime) -> None:
    first = get(client, f"{DAY}?limit=12", token)
    ledger.line("FT-new", event_id=ledger.event("FT-new", "1.00"))
    parts.clock.forward(86400)  # type: ignore[attr-defined]
    Worker(parts).run_once()
    assert get(client, DAY, token)["version"] == 2
    rest = get(client, f"{DAY}?limit=12&cursor={first['next']}", token)
    assert (rest["version"], len(first["data"]) + len(rest["data"])) == (1, 13)
    assert get(client, f"{DAY}?version=1", token)["numbers"] == first["numbers"]
    get(client, f"{DAY}?limit=12&version=2&cursor={first['next']}", token, 400)


def test_the_pages_of_an_open_day_end_once_it_is_closed(
    client: FlaskClient, token: Headers, ledger: Ledger, parts: Runtime
) -> None:
    day = EVENING.date()
    for number in range(4):
        ledger.line(f"FT-{number}", day=day)
    path = f"/api/v1/days/bcb/{day}"
    first = get(client, f"{path}?limit=2", token)
    rest = get(client, f"{path}?limit=2&cursor={first['next']}", token)
    assert len({line["payment_id"] for line in first["data"] + rest["data"]}) == 4
    # Its lines stand in other places by then.
    ledger.event("FT-3", "77.00", at=EVENING)
    closing.close(parts, ledger.source, day)
    refused = get(client, f"{path}?limit=2&cursor={first['next']}", token, 400)
    assert refused["detail"] == "The day has been closed since the page before: begin anew, without `cursor`."
    assert get(client, f"{path}?limit=2", token)["version"] == 1


def test_a_day_is_answered_as_csv_without_a_formula(client: FlaskClient, token: Headers, ledger: Ledger) -> None:
    text = get(client, f"{DAY}?category=ours_alone", token, Accept="text/csv")
    assert {row["payment_id"] for row in csv.DictReader(io.StringIO(text))} == {"FT-o1", "FT-o2"}
    text = get(client, "/api/v1/days/bcb/2026-03-03", token, Accept="text/csv")
    assert text.count("\n") == 1
    ledger.event("@SUM(1)", "3.00", at=EVENING + timedelta(hours=1))
    (row,) = csv.DictReader(io.StringIO(get(client, "/api/v1/days/bcb/2026-03-03", token, Accept="text/csv")))
    assert row["payment_id"] == "'@SUM(1)"


def test_accounts_are_shown_whole_to_a_token_that_may_read_payloads_alone(
    client: FlaskClient, token: Headers, ledger: Ledger, parts: Runtime
) -> None:
    few = make_token(parts, "payments:read", name="few")
    ledger.line("FT-open", day=date(2026, 3, 3))
    ledger.line("FT-rejected", day=date(2026, 3, 3), list_name="rejections")
    for path in (DAY, "/api/v1/days/bcb/2026-03-03"):
        whole, masked = get(client, path, token)["data"], get(client, path, few)["data"]
        assert "1046406142" in {line["account"] for line in whole}
        assert {line["account"] for line in masked} <= {"…6142", None}
        assert "1046406142" not in json.dumps(masked)
        # The name of a list that is no account's tells lists apart.
        assert {line["list_name"] for line in masked} <= {"…6142", "rejections", None}
        assert ("rejections" in json.dumps(masked)) == (path != DAY)
        hidden = {"account", "list_name"}
        assert [{k: v for k, v in line.items() if k not in hidden} for line in masked] == [
            {k: v for k, v in line.items() if k not in hidden} for line in whole
        ]
    assert "1046406142" not in get(client, DAY, few, Accept="text/csv")


def test_days_are_listed_page_by_page(client: FlaskClient, token: Headers, ledger: Ledger) -> None:
    found = get(client, "/api/v1/days?limit=3", token)
    states = [(each["date"], each["state"], each["agreed"]) for each in found["data"]]
    assert states == [("2026-03-04", "open", None), ("2026-03-03", "incomplete", None), ("2026-03-02", "closed", 3)]
    rest = get(client, f"/api/v1/days?limit=3&cursor={found['next']}", token)
    assert ([each["date"] for each in rest["data"]], rest["next"]) == (["2026-03-01"], None)
    text = get(client, "/api/v1/days?source=bcb", token, Accept="text/csv")
    assert text.splitlines()[0].startswith("source,date,state,version")
    assert ledger.source.name == "bcb"


def test_what_is_no_day_is_said_in_words(client: FlaskClient, token: Headers, ledger: Ledger, parts: Runtime) -> None:
    add_source(parts, "weekly", secret=None, business_days="mon-fri,19:00,Europe/Copenhagen")
    add_silent(parts, "quiet")
    for wrong in ("2026-3-2", "20260302", "2026-02-30", "0001-01-01", "9999-12-31", "yesterday", "2026-W10-1"):
        assert "such as 2026-01-31" in get(client, f"/api/v1/days/bcb/{wrong}", token, 400)["detail"], wrong
    saturday = get(client, "/api/v1/days/weekly/2026-02-28", token, 404)["detail"]
    assert saturday == "2026-02-28 is no business day of weekly; the next one is 2026-03-02."
    quiet = get(client, "/api/v1/days/quiet/2026-03-02", token)
    assert (quiet["state"], quiet["data"]) == ("not_offered", [])
    assert quiet["words"].startswith("this bank lists nothing of what it knows")
    get(client, "/api/v1/days/none/2026-03-02", token, 404)
    get(client, f"{DAY}?version=2", token, 404)
    for wrong in ("version=0", "category=none", "versions=1", "limit=0", "cursor=x", "version=1&version=1"):
        get(client, f"{DAY}?{wrong}", token, 400)
    get(client, "/api/v1/days?source=none", token, 400)
    get(client, "/api/v1/days?state=open", token, 400)
    assert ledger.source.name == "bcb"


def test_a_token_sees_its_own_sources_alone(client: FlaskClient, ledger: Ledger, parts: Runtime) -> None:
    add_silent(parts, "other")
    other = make_token(parts, "payments:read", sources=("other",), name="other")
    get(client, DAY, other, 404)
    assert get(client, "/api/v1/days", other)["data"] == []
    get(client, "/api/v1/days?source=bcb", other, 403)
    get(client, DAY, make_token(parts, "feed:read", name="reader"), 403)
    assert ledger.source.name == "bcb"


def test_an_open_day_that_is_long_is_shown_once_it_is_closed(
    client: FlaskClient, token: Headers, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receiver.admin.days.OPEN_LINES_MAX", 1)
    day = EVENING.date()
    ledger.line("FT1", day=day)
    assert get(client, f"/api/v1/days/bcb/{day}", token)["state"] == "incomplete"
    ledger.line("FT2", day=day)
    assert "more than 1 lines or events" in get(client, f"/api/v1/days/bcb/{day}", token, 409)["detail"]
    # As are events that the bank's list has nothing of; one came on this day before.
    day += timedelta(days=1)
    assert get(client, f"/api/v1/days/bcb/{day}", token)["state"] == "open"
    ledger.event("FT3", at=EVENING + timedelta(hours=26))
    assert "more than 1 lines or events" in get(client, f"/api/v1/days/bcb/{day}", token, 409)["detail"]
    assert json.dumps(get(client, DAY, token))
