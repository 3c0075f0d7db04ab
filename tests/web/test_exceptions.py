"""`/api/v1/exceptions`: what a person has to look at, and what apps are told of it."""

from datetime import timedelta
from typing import Any

import pytest
from admin.looking import noted
from conftest import StandingClock, add_source, make_token
from flask.testing import FlaskClient
from store.made import delivery, event, record
from web.reading import Headers, assert_problem, get, got

from receiver.runtime import Runtime
from receiver.store.sources import SourceRecord

EXCEPTIONS = "/api/v1/exceptions"


def conflict(parts: Runtime, source: SourceRecord, name: str = "FT1", **event_has: Any) -> None:
    """The same event twice, with other content."""
    record(parts, delivery(parts, source), event(parts, name, **event_has))
    record(parts, delivery(parts, source), event(parts, name, says="otherwise", **event_has))


def post(client: FlaskClient, path: str, token: Headers, body: Any = None) -> Any:
    return client.post(f"{EXCEPTIONS}/{path}", headers=token, json=body)


def test_one_is_shown_to_the_letter_acknowledged_and_resolved(
    client: FlaskClient, token: Headers, parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    conflict(parts, source, amount="1500.00", currency="EUR")
    (found,) = got(client, EXCEPTIONS, token)["data"]
    assert found == {
        "id": found["id"],
        "kind": "conflict",
        "state": "open",
        "severity": "medium",
        "source": "bcb",
        "about": "event",
        "subject": found["event_id"],
        "event_id": found["event_id"],
        "delivery_id": None,
        "amount": "1500.00",
        "currency": "EUR",
        "number": 1,
        "detail": "the same event came again with other content",
        "opened_at": "2026-03-04T12:00:00.000000Z",
        "changed_at": "2026-03-04T12:00:00.000000Z",
        "handled_by": None,
        "handled_at": None,
        "note": None,
    }
    clock.forward(5)
    mine = post(client, f"{found['id']}/acknowledge", token).get_json()
    assert (mine["state"], mine["handled_by"], mine["note"]) == ("acknowledged", "token:app", None)
    assert_problem(post(client, f"{found['id']}/acknowledge", token, {}), 409, "is acknowledged already by token:app")
    done = post(client, f"{found['id']}/resolve", token, {"note": "the bank was told"}).get_json()
    assert (done["state"], done["note"], done["handled_at"]) == (
        "resolved",
        "the bank was told",
        "2026-03-04T12:00:05.000000Z",
    )
    assert_problem(post(client, f"{found['id']}/resolve", token, {"note": "twice"}), 409, "is resolved already")
    assert got(client, EXCEPTIONS, token)["data"] == []
    assert got(client, EXCEPTIONS, token, state="resolved")["data"] == [done]
    assert got(client, f"{EXCEPTIONS}/{found['id']}", token) == done
    assert [what for _, what, _ in noted(parts)] == ["exception.acknowledged", "exception.resolved"]


def test_the_feed_says_that_one_was_opened_and_resolved_and_never_a_payload(
    client: FlaskClient, token: Headers, parts: Runtime, source: SourceRecord
) -> None:
    conflict(parts, source, amount="1500.00", currency="EUR")
    (found,) = got(client, EXCEPTIONS, token)["data"]
    post(client, f"{found['id']}/acknowledge", token, {"note": "mine"})
    post(client, f"{found['id']}/resolve", token, {"note": "the bank was told"})
    types = ["exception.opened", "exception.resolved"]
    opened, resolved = got(client, "/api/v1/feed", token, type=types)["data"]
    said = {
        "exception_id": found["id"],
        "kind": "conflict",
        "about": "event",
        "about_id": found["event_id"],
        "severity": "medium",
        "amount": "1500.00",
        "currency": "EUR",
        "number": 1,
        "detail": "the same event came again with other content",
    }
    assert (opened["type"], opened["data"], opened["eventid"]) == ("exception.opened", said, found["event_id"])
    assert (resolved["type"], resolved["data"]) == ("exception.resolved", {**said, "resolved_by": "token:app"})
    # It comes once more: the same one is opened anew.
    record(parts, delivery(parts, source), event(parts, "FT1", says="a third thing"))
    assert [each["id"] for each in got(client, EXCEPTIONS, token)["data"]] == [found["id"]]
    assert len(got(client, "/api/v1/feed", token, type="exception.opened")["data"]) == 2


def test_a_list_is_paged_filtered_and_written_as_csv(
    client: FlaskClient, token: Headers, parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    add_source(parts, "other")
    for number in range(3):
        conflict(parts, source, f"FT{number}")
        clock.forward(1)
    first = got(client, EXCEPTIONS, token, limit=2)
    second = got(client, EXCEPTIONS, token, limit=2, cursor=first["next"])
    assert (len(first["data"]), len(second["data"]), second["next"]) == (2, 1, None)
    opened = [each["opened_at"] for each in (*first["data"], *second["data"])]
    assert opened == sorted(opened, reverse=True)
    assert got(client, EXCEPTIONS, token, kind=["late", "stalled"])["data"] == []
    assert len(got(client, EXCEPTIONS, token, kind=["late", "conflict"], state=["open", "resolved"])["data"]) == 3
    assert got(client, EXCEPTIONS, token, source="other")["data"] == []
    answer = client.get(f"{EXCEPTIONS}?limit=2", headers={**token, "Accept": "text/csv"})
    lines = answer.text.split("\r\n")
    assert lines[0].startswith("id,kind,state,severity,source,about,subject")
    assert (len(lines), 'rel="next"' in answer.headers["Link"]) == (4, True)
    assert_problem(get(client, EXCEPTIONS, token, cursor=first["next"][:-2]), 400, "cursor")


def test_a_token_sees_and_acts_on_its_own_sources_alone(
    client: FlaskClient, parts: Runtime, source: SourceRecord
) -> None:
    other = add_source(parts, "other")
    conflict(parts, source, "FT1")
    conflict(parts, other, "FT2")
    limited = make_token(parts, "payments:read", "exceptions:write", sources=("other",), name="limited")
    everything = got(client, EXCEPTIONS, make_token(parts))["data"]
    theirs = {each["source"]: each["id"] for each in everything}
    assert [each["source"] for each in got(client, EXCEPTIONS, limited)["data"]] == ["other"]
    assert_problem(get(client, EXCEPTIONS, limited, source="bcb"), 403, "may not see the source bcb")
    assert_problem(get(client, f"{EXCEPTIONS}/{theirs['bcb']}", limited), 404)
    assert_problem(post(client, f"{theirs['bcb']}/acknowledge", limited), 404)
    assert post(client, f"{theirs['other']}/acknowledge", limited).status_code == 200
    reader = make_token(parts, "payments:read", name="reader")
    assert_problem(post(client, f"{theirs['bcb']}/resolve", reader, {"note": "x"}), 403, "exceptions:write")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_none_is_said(client: FlaskClient, token: Headers, source: SourceRecord, parts: Runtime) -> None:
    conflict(parts, source)
    (found,) = got(client, EXCEPTIONS, token)["data"]
    assert_problem(get(client, EXCEPTIONS, token, state="shut"), 400, "one of: open, acknowledged, resolved")
    assert_problem(get(client, EXCEPTIONS, token, kind="conflicts"), 400, "`kind` takes one of: contradicted")
    assert_problem(get(client, EXCEPTIONS, token, kid="late"), 400, "the nearest is `kind`")
    assert_problem(get(client, EXCEPTIONS, token, source="bcc"), 400, "the nearest is 'bcb'")
    assert_problem(get(client, f"{EXCEPTIONS}/exc_none", token), 404, "There is no such exception.")
    assert_problem(post(client, "exc_none/acknowledge", token), 404)
    assert_problem(post(client, f"{found['id']}/resolve", token, {}), 400, "Send `note`")
    for note in ("", "  ", "x" * 501, 5, "\0"):
        assert_problem(post(client, f"{found['id']}/resolve", token, {"note": note}), 400, "`note` takes a text")
    assert_problem(post(client, f"{found['id']}/acknowledge", token, {"not": "x"}), 400, "the nearest is `note`")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_how_much_it_presses_is_set_by_amount_currency_and_age(
    client: FlaskClient, token: Headers, parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    parts.settings.severity_amounts = "high=10000,medium=1000,high:JPY=1500000,medium:JPY=150000"
    parts.settings.severity_ages = "medium=7200"
    for amount, currency in (("10000", "USD"), ("149999", "JPY"), ("150000", "JPY"), ("-1500000", "JPY"), ("5", "EUR")):
        conflict(parts, source, f"{amount} {currency}", amount=amount, currency=currency)

    def pressing() -> dict[str, str]:
        return {each["amount"]: each["severity"] for each in got(client, EXCEPTIONS, token)["data"]}

    assert pressing() == {"10000": "high", "149999": "low", "150000": "medium", "-1500000": "high", "5": "low"}
    clock.now += timedelta(hours=2)
    assert pressing()["5"] == "medium"
    clock.now += timedelta(days=2)
    assert pressing()["5"] == "medium"
