"""The pages of replays: a plan first, a second person for a large one, progress, and who may what."""

import html
import re
from typing import Any

import pytest
from bank import BankSigner
from conftest import KEY, StandingClock
from flask import Flask
from flask.testing import FlaskClient
from replay.sending import again, tell, work_off
from web.staff.signed_in import message, send, signed_in
from werkzeug.test import TestResponse

from receiver.admin import replays as acts
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import audit
from receiver.store.sources import SourceRecord

NEW, PLAN, RUN = "/staff/replays/new", "/staff/replays/plan", "/staff/replays"
REASON = "the ledger <lost> a day"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_url


@pytest.fixture
def settings(database_url: str) -> Settings:
    """More than two wait."""
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url, replay_approval_above=2)


@pytest.fixture(autouse=True)
def _told(parts: Runtime, source: SourceRecord, bank: BankSigner) -> None:
    """Three deposits."""
    for number in range(3):
        assert tell(parts, bank, f"FT{number}") == 200, source


@pytest.fixture
def operator(app: Flask, parts: Runtime) -> FlaskClient:
    return signed_in(app, parts, Role.OPERATOR)


def planned(client: FlaskClient, **fields: Any) -> TestResponse:
    return send(client, NEW, PLAN, {"reason": REASON, **fields})


def run(client: FlaskClient, page: TestResponse) -> str:
    """Press the plan's button; return the path of the replay."""
    hidden = dict(
        re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]+)"', page.text.partition("sample")[2])
    )
    answered = client.post(RUN, data=hidden)
    assert answered.status_code == 303, answered.text
    return answered.headers["Location"]


def test_a_plan_is_seen_first_and_then_run(operator: FlaskClient, parts: Runtime) -> None:
    page = planned(operator, payment_id="FT1")
    assert page.status_code == 200
    assert re.search(r'class="figure">1</span> entries of the feed will be sent again', page.text)
    assert html.escape(REASON) in page.text
    assert again(parts) == []
    place = run(operator, page)
    assert "→</span> running" in operator.get(place).text
    work_off(parts)
    shown = operator.get(place).text
    assert "1 of 1" in shown
    assert "✓</span> done" in shown
    assert html.escape(REASON) in shown
    assert again(parts) == ["FT1"]
    with parts.database.read() as connection:
        rows = [row for row in audit.listing(connection, limit=3) if row.what.startswith("replay.")]
    assert [(row.who, row.what, row.why) for row in rows] == [
        ("worker", "replay.done", REASON),
        ("staff:operator", "replay.started", REASON),
    ]
    assert place in operator.get(RUN).text


@pytest.mark.parametrize(
    ("gone", "fields", "words"),
    [
        ("DELETE FROM feed_entries", {"payment_id": "FT1"}, "stored no longer when it came to them, and"),
        (
            "DELETE FROM deliveries WHERE verdict = 'rejected'",
            {"target": "verification"},
            "no longer among the rejected when it came to them: accepted since, or removed.",
        ),
    ],
)
def test_what_its_plan_saw_and_it_did_not_find_is_said(
    operator: FlaskClient, parts: Runtime, bank: BankSigner, gone: str, fields: dict[str, str], words: str
) -> None:
    assert tell(parts, bank, "FT9", timestamp="0") == 401
    place = run(operator, planned(operator, **fields))
    with parts.database.write() as connection:
        connection.exec_driver_sql(gone)
    work_off(parts)
    assert f"1 that its plan saw were {words}" in operator.get(place).text


def test_all_that_a_search_finds_is_planned(operator: FlaskClient, parts: Runtime) -> None:
    asked = operator.get(f"{NEW}?q=FT2&source=bcb").text
    assert 'name="q" value="FT2"' in asked
    assert re.search(r'type="checkbox"[^>]* name="source" value="bcb" checked', asked)
    run(operator, planned(operator, q="FT2", source="bcb"))
    work_off(parts)
    assert again(parts) == ["FT2"]


def test_a_selection_of_events_is_ticked_off_one_by_one(operator: FlaskClient, parts: Runtime) -> None:
    with parts.database.read() as connection:
        ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM events ORDER BY subject")]
    asked = operator.get(f"{NEW}?event_id={ids[0]}&event_id={ids[2]}").text
    assert re.findall(r'name="event_id" value="([^"]+)" checked', asked) == [ids[0], ids[2]]
    run(operator, planned(operator, event_id=[ids[0], ids[2]]))
    work_off(parts)
    assert again(parts) == ["FT0", "FT2"]


def test_what_does_not_fit_is_said_on_the_form_which_keeps_the_rest(operator: FlaskClient) -> None:
    page = planned(operator, payment_id="FT1", received_after="yesterday")
    assert (page.status_code, "`received_after` takes" in page.text) == (400, True)
    page = planned(operator, payment_id="FT1", target="verification")
    assert (page.status_code, "take away: payment id" in page.text) == (400, True)
    assert 'name="payment_id" value="FT1" checked' in page.text
    assert planned(operator, reason="").status_code == 400
    assert "nearest" in planned(operator, source="bbc").text
    assert "Nothing matches" in planned(operator, payment_id="FT9").text


def test_a_wrong_field_takes_nothing_away_of_what_was_typed(operator: FlaskClient) -> None:
    typed = {"payment_id": "FT1", "source": "bcb", "q": "FT", "received_before": "2027-01-01T00:00:00Z"}
    typed |= {"target": "bank", "per_second": "fast", "received_after": "yesterday"}
    for page in (planned(operator, **typed), operator.get(NEW, query_string={**typed, "reason": REASON})):
        asked = html.unescape(page.text)
        assert "`received_after` takes" in asked
        for name in ("payment_id", "source"):
            assert f'name="{name}" value="{typed[name]}" checked' in asked
        for name in ("q", "received_before", "received_after", "per_second"):
            assert f'name="{name}" value="{typed[name]}"' in asked
        assert '<option value="bank" selected>' in asked
        assert f">{REASON}</textarea>" in asked
    for wrong in ({"source": "bbc"}, {"consumer": "nobody"}, {"reason": ["a", "b"]}):
        assert 'name="payment_id" value="FT1" checked' in planned(operator, payment_id="FT1", **wrong).text, wrong


def test_a_reason_is_as_long_as_its_field_takes_with_new_lines_and_all(operator: FlaskClient) -> None:
    asked = operator.get(NEW).text
    most = re.search(r'<textarea[^>]* maxlength="(\d+)"', asked)
    assert most is not None
    # A browser counts a new line as one character, and sends two.
    fits = "\r\n".join(["x"] * ((int(most[1]) + 1) // 2))
    assert planned(operator, payment_id="FT1", reason=fits).status_code == 200
    assert planned(operator, payment_id="FT1", reason=f"{fits}xx").status_code == 400


def test_a_large_one_waits_until_another_approver_starts_it(app: Flask, operator: FlaskClient, parts: Runtime) -> None:
    page = planned(operator)
    assert "These are more than 2" in page.text
    place = run(operator, page)
    assert "awaiting approval" in operator.get(place).text
    assert f"{place}/approve" not in operator.get(place).text
    work_off(parts)
    assert again(parts) == []
    approver = signed_in(app, parts, Role.APPROVER)
    assert message(approver, send(approver, place, f"{place}/approve")) == "The replay is approved, and runs."
    assert "staff:approver" in approver.get(place).text
    work_off(parts)
    assert again(parts) == ["FT0", "FT1", "FT2"]


def test_an_approver_does_not_approve_their_own(app: Flask, parts: Runtime) -> None:
    approver = signed_in(app, parts, Role.APPROVER)
    place = run(approver, planned(approver))
    page = approver.get(place)
    assert "You asked for it, so somebody else has to." in page.text
    assert f"{place}/approve" not in page.text
    # The form that is not there, made by hand: with the token of another one.
    forged = approver.post(f"{place}/approve", data={"form_token": "x"})
    assert forged.status_code == 403
    assert acts.find(parts, place.rpartition("/")[2]).state == "awaiting_approval"


def test_it_is_held_up_goes_on_and_is_stopped(operator: FlaskClient) -> None:
    place = run(operator, planned(operator, payment_id="FT1"))
    for act, said in (("pause", "is paused"), ("resume", "goes on"), ("cancel", "is cancelled")):
        assert said in message(operator, send(operator, place, f"{place}/{act}"))
    assert "details" not in re.findall(r"<(\w+) class=.action", operator.get(place).text)


def test_progress_is_fetched_alone_and_the_page_anew_once_the_state_is_another(
    operator: FlaskClient, parts: Runtime
) -> None:
    place = run(operator, planned(operator, payment_id="FT1"))
    page = operator.get(place).text
    (asked,) = re.findall(r'id="progress"[^>]* hx-get="([^"]+)"', page)
    polled = operator.get(html.unescape(asked), headers={"HX-Request": "true"})
    assert (polled.status_code, "<html" in polled.text, "HX-Refresh" in polled.headers) == (200, False, False)
    work_off(parts)
    ended = operator.get(html.unescape(asked), headers={"HX-Request": "true"})
    assert ended.headers["HX-Refresh"] == "true"
    assert "hx-get" not in ended.text


def test_a_viewer_looks_and_does_nothing(app: Flask, operator: FlaskClient, parts: Runtime) -> None:
    place = run(operator, planned(operator))
    viewer = signed_in(app, parts, Role.VIEWER)
    for path in (RUN, place):
        page = viewer.get(path)
        assert (page.status_code, 'class="action' in page.text, NEW in page.text) == (200, False, False)
    assert viewer.get(NEW).status_code == 403
    assert viewer.post(f"{place}/cancel", data={"form_token": "x"}).status_code == 403
    assert acts.find(parts, place.rpartition("/")[2]).state == "awaiting_approval"


def test_a_plan_is_not_run_when_it_is_old_or_changed(operator: FlaskClient, clock: StandingClock) -> None:
    page = planned(operator, payment_id="FT1")
    clock.forward(16 * 60)
    answered = operator.post(RUN, data=dict(re.findall(r'name="(plan|form_token)" value="([^"]+)"', page.text)[-2:]))
    assert "expired" in message(operator, answered)


def test_a_replay_that_there_is_not_is_said(operator: FlaskClient) -> None:
    assert operator.get(f"{RUN}/rpl_none").status_code == 404
    assert operator.get(f"{RUN}?state=odd").status_code == 400
    listed = operator.get(f"{RUN}?state=paused").text
    assert "No replay is in this state." in listed
