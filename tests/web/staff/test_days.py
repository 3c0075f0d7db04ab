"""The calendar of business days, and the page of one."""

import html
import json
import re
from datetime import timedelta

import pytest
from conftest import KEY, StandingClock, add_source
from flask import Flask
from flask.testing import FlaskClient
from reconcile.ledger import EVENING, MORNING, Ledger, add_silent, known_day
from sqlalchemy import text
from web.staff.signed_in import message, send, signed_in, token_of

from receiver.admin import day_verification, days
from receiver.model import Role
from receiver.reconcile import days as closing
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.worker.loop import Worker

SCRIPT = "<script>alert(1)</script>"
DAY = "/staff/days/bcb/2026-03-02"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_url


@pytest.fixture
def ledger(parts: Runtime, clock: StandingClock) -> Ledger:
    """A ledger whose day is closed; a payment is called as nobody should."""
    clock.now = MORNING - timedelta(days=1)
    made = Ledger(parts, add_source(parts))
    clock.now = EVENING + timedelta(hours=36)
    known_day(made)
    made.event(SCRIPT, "1.00")
    Worker(parts).run_once()
    return made


@pytest.fixture
def viewer(app: Flask, parts: Runtime, ledger: Ledger) -> FlaskClient:  # noqa: ARG001 - there is a day
    return signed_in(app, parts, Role.VIEWER)


def links(text: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'href="([^"#]*)"', text.partition("<main")[2])]


def test_the_calendar_says_by_a_word_and_a_sign_how_each_day_is(viewer: FlaskClient, parts: Runtime) -> None:
    add_silent(parts, "quiet")
    page = viewer.get("/staff/days?month=2026-03")
    assert page.status_code == 200
    for label in ("2026-03-01: 1 differs", "2026-03-02: 8 differ", "2026-03-03: incomplete", "2026-03-04: open"):
        assert f'aria-label="{label}"' in page.text
    assert re.search(r'<span class="badge bad"><span aria-hidden="true">✕</span> 8 differ</span>', page.text)
    assert "This bank lists nothing of what it knows" in page.text
    assert "February" in viewer.get("/staff/days?month=2026-02&source=bcb").text
    for wrong in ("2026-13", "2026", "9999-12", "x"):
        assert viewer.get(f"/staff/days?month={wrong}").status_code == 400
    assert viewer.get("/staff/days?source=none").status_code == 400


def test_every_link_of_a_day_leads_somewhere(viewer: FlaskClient) -> None:
    page = viewer.get(DAY)
    assert (page.status_code, SCRIPT in page.text, html.escape(SCRIPT) in page.text) == (200, False, True)
    assert "when callbacks came" in page.text.lower()
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page.text)
    for link in {*links(page.text), *links(viewer.get("/staff/days").text)}:
        assert viewer.get(link).status_code == 200, link


def test_a_closed_day_is_shown_though_its_source_s_bank_is_there_no_more(viewer: FlaskClient, parts: Runtime) -> None:
    assert "Day before" in viewer.get(DAY).text
    with parts.database.write() as connection:
        connection.execute(text("UPDATE sources SET bank = 'moon'"))
    page = viewer.get(DAY)
    assert (page.status_code, "Day before" in page.text, "Bank&#39;s list read until" in page.text) == (
        200,
        False,
        True,
    )


def test_lines_are_shown_by_category_and_page_by_page(viewer: FlaskClient, ledger: Ledger, parts: Runtime) -> None:
    assert viewer.get(f"{DAY}?category=recovered").text.count('<a class="open"') == 2
    for number in range(60):
        ledger.line(f"FT-many-{number}")
    days.close(parts, "cli:test", "bcb", MORNING.date())
    asked = f"{DAY}?category=bank_alone"
    page = viewer.get(asked).text
    (following,) = [link for link in links(page) if "place=" in link]
    # Whose lines stand in the places of the page before.
    ledger.event("FT-many-3", "77.00")
    assert days.close(parts, "cli:test", "bcb", MORNING.date())[1]
    both = re.findall(r"FT-many-[0-9]+", page + viewer.get(following).text)
    assert len(both) == len(set(both)) == 60
    before = viewer.get(f"{DAY}?version=1").text
    assert ("FT-many" in before, "Version" in before) == (False, True)


def test_the_next_page_of_an_open_day_is_the_first_one_of_its_version_once_it_is_closed(
    viewer: FlaskClient, ledger: Ledger, parts: Runtime
) -> None:
    tomorrow = MORNING.date() + timedelta(days=1)
    for number in range(120):
        ledger.line(f"FT-many-{number}", day=tomorrow)
    page = viewer.get(f"/staff/days/bcb/{tomorrow}").text
    (following,) = [link for link in links(page) if "place=" in link]
    second = viewer.get(following).text
    both = re.findall(r"FT-many-[0-9]+", page + second)
    assert len(both) == len(set(both)) == 100
    assert [viewer.get(link).status_code for link in links(second) if "csv" in link] == [200]
    closing.close(parts, ledger.source, tomorrow)
    shown = viewer.get(following).text
    assert re.findall(r"FT-many-[0-9]+", shown) == re.findall(r"FT-many-[0-9]+", page)
    (following,) = [link for link in links(shown) if "place=" in link]
    assert "version=1" in following


def test_accounts_are_masked_for_who_may_not_read_payloads(app: Flask, viewer: FlaskClient, parts: Runtime) -> None:
    reader = signed_in(app, parts, Role.VIEWER, payloads=True, name="reader")
    for path in (DAY, f"{DAY}/lines.csv", f"{DAY}/lines.csv?category=agreed"):
        assert ("1046406142" in viewer.get(path).text, "1046406142" in reader.get(path).text) == (False, True), path
    assert viewer.get(f"{DAY}/day.json").status_code == 403
    file = reader.get(f"{DAY}/day.json")
    assert file.headers["Content-Disposition"] == 'attachment; filename="bcb-2026-03-02.json"'
    header = day_verification.verify_file(Settings(_env_file=None, secret_keys=KEY), file.text.splitlines(True))
    assert header["version"] == 1
    assert len(json.loads(file.text)["lines"]) == 14


def test_an_operator_looks_anew_and_verifies(
    app: Flask, ledger: Ledger, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = signed_in(app, parts, Role.OPERATOR)
    with monkeypatch.context() as patched:
        patched.setattr(days, "OPEN_LINES_MAX", 3)
        assert "run `receiver days close bcb 2026-03-02`" in message(operator, send(operator, DAY, f"{DAY}/close"))
    assert message(operator, send(operator, DAY, f"{DAY}/close")) == "Nothing has changed since this version."
    ledger.line("FT-new", event_id=ledger.event("FT-new"))
    assert message(operator, send(operator, DAY, f"{DAY}/close")) == "Closed in version 2."
    assert message(operator, send(operator, DAY, f"{DAY}/verify")) == "2026-03-02 is as it was closed, in 2 versions."
    token = token_of(operator.get(DAY), f"{DAY}/verify")
    with parts.database.write() as connection:
        connection.exec_driver_sql("UPDATE day_lines SET content = x'00'")
    assert operator.get(DAY).status_code == 409
    answered = operator.post(f"{DAY}/verify", data={"form_token": token})
    assert "its lines can't be read" in message(operator, answered)
    refused = send(operator, "/staff/days/bcb/2026-03-03", "/staff/days/bcb/2026-03-03/close")
    assert "was read until 2026-03-03 02:00 UTC only" in message(operator, refused)


def test_what_is_no_day_is_a_page_that_says_so(viewer: FlaskClient, parts: Runtime) -> None:
    add_source(parts, "weekly", secret=None, business_days="mon-fri,19:00,Europe/Copenhagen")
    add_silent(parts, "quiet")
    saturday = viewer.get("/staff/days/weekly/2026-02-28")
    assert (saturday.status_code, "the next one is 2026-03-02" in saturday.text) == (404, True)
    quiet = viewer.get("/staff/days/quiet/2026-03-02")
    assert (quiet.status_code, "This bank lists nothing" in quiet.text) == (200, True)
    for path, status in (("bcb/yesterday", 400), ("none/2026-03-02", 404), ("bcb/2026-03-02?version=9", 404)):
        assert viewer.get(f"/staff/days/{path}").status_code == status
    assert viewer.get(f"{DAY}?category=none").status_code == 400
    assert viewer.get(f"{DAY}?place=99999999999").status_code == 200
