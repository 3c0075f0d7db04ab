"""Somebody misses money: a person finds out what happened, sends it again, and leaves a trace. In a real browser."""

import os
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import expect
from servers import ROOT
from sqlalchemy import func, select, update
from staff.conftest import APPROVAL_ABOVE
from staff.site import WAIT_MS, Site, Visit

from receiver.admin import payments
from receiver.store.tables import StaffSession, table_of

Visitor = Callable[..., Visit]

CLICKS_MAX = 5
"""From the sign-in to what was sent again."""

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

PICTURE = ROOT / "docs" / "event-page.png"


def send_again(visit: Visit, question: str, event_id: str, reason: str) -> None:
    """From anywhere: search, open the event, read its story, plan to send it again, and do."""
    visit.search(question)
    visit.page.wait_for_url("**/staff/events?*")
    visit.open_event(event_id)
    visit.shows("What happened")
    visit.click("Send again")
    visit.page.get_by_role("textbox", name="Why").fill(reason)
    visit.click("Plan it", "button")
    visit.shows("2 entries of the feed will be sent again")
    visit.click("Run exactly this", "button")
    visit.shows("done")
    visit.shows("2 of 2")


def test_the_story_from_the_sign_in_to_the_audit_log(visitor: Visitor, site: Site) -> None:
    event_id = site.deposit("FT-STORY-1", "1234.50")
    told = site.feed("ledger")
    assert event_id in [entry.get("eventid") for entry in told]
    visit = visitor("operator", viewport=DESK)
    visit.search("1,234.50")
    visit.shows("FT-STORY-1")
    visit.open_event(event_id)
    for said in ("It came from 127.0.0.1", "proven genuine by signature", "ledger has acknowledged position"):
        visit.shows(said)
    visit.shows(re.compile("The bank answered: Completed"))
    visit.shows(re.compile("confirmed"))
    # The bank's answer may have come after the first reading.
    told += site.feed("ledger")
    assert [entry["type"] for entry in told] == ["bcb.deposit", "payment.status_changed"]
    visit.click("Send again")
    visit.page.get_by_role("textbox", name="Why").fill("the customer's ledger shows nothing")
    visit.click("Plan it", "button")
    visit.shows("2 entries of the feed will be sent again")
    assert site.feed("ledger") == []
    visit.click("Run exactly this", "button")
    # The progress moves by itself.
    visit.shows("2 of 2")
    expect(visit.page.get_by_role("main")).to_contain_text("done", timeout=WAIT_MS)
    replay_id = visit.page.url.rpartition("/")[2].partition("?")[0]
    copies = site.feed("ledger")
    assert [copy["type"] for copy in copies] == ["bcb.deposit", "payment.status_changed"]
    assert {(copy["eventid"], copy["replayid"], copy["subject"]) for copy in copies} == {
        (event_id, replay_id, "FT-STORY-1")
    }
    visit.go(f"/staff/events/{event_id}")
    visit.shows("staff:operator sent it again, at position")
    visit.shows("the customer's ledger shows nothing")
    visit.click("Audit")
    row = visit.page.get_by_role("row").filter(has_text="replay.started").filter(has_text=replay_id)
    expect(row).to_contain_text("staff:operator")
    expect(row).to_contain_text("the customer's ledger shows nothing")


def test_a_page_that_refreshes_by_itself_shows_one_look_at_the_bank(visitor: Visitor, site: Site) -> None:
    event_id = site.deposit("FT-LOOK", "6.00")
    main = visitor("operator", viewport=DESK).go(f"/staff/events/{event_id}").page.get_by_role("main")
    clock = site.parts.clock
    # To the second, as the page shows it.
    began = clock() + timedelta(seconds=1)
    while clock() < began:
        time.sleep(0.05)
    payments.check(site.parts, "cli:tests", "bcb", "FT-LOOK")
    ends = time.monotonic() + WAIT_MS / 1000
    checked: list[str] = []
    while not checked or checked[-1] < f"{began:%Y-%m-%d %H:%M:%S}":
        assert time.monotonic() < ends
        shown = main.inner_text()
        checked = re.findall(r"Checked (\S+ \S+) UTC", shown)
    assert re.findall(r"Asked last\s+(\S+ \S+) UTC", shown) == checked[-1:]


def test_whoever_searches_as_they_type_stays_signed_in(visitor: Visitor, site: Site) -> None:
    visit = visitor("operator").go("/staff/events")
    visit.shows("Search")
    rows, before = table_of(StaffSession), site.parts.clock() - timedelta(minutes=20)
    with site.parts.database.write() as connection:
        mine = rows.c.id == connection.execute(select(func.max(rows.c.id))).scalar_one()
        connection.execute(update(rows).where(mine).values(seen_at=before))
    with visit.page.expect_response("**/staff/events?q=unheard-of*"):
        visit.page.get_by_role("main").get_by_role("searchbox").press_sequentially("unheard-of")
    with site.parts.database.read() as connection:
        assert connection.execute(select(rows.c.seen_at).where(mine)).scalar_one() > before


@pytest.mark.parametrize(
    ("way", "question"),
    [("amount", "77.0{}"), ("payment", "FT-WAY-{}"), ("reference", "invoice way {}"), ("event", None)],
)
def test_five_clicks_by_each_way_of_asking(visitor: Visitor, site: Site, way: str, question: str | None) -> None:
    number = str(["amount", "payment", "reference", "event"].index(way) + 1)
    event_id = site.deposit(f"FT-WAY-{number}", f"77.0{number}", details=f"invoice way {number}")
    visit = visitor("operator", viewport=DESK)
    send_again(visit, question.format(number) if question else event_id, event_id, f"found by its {way}")
    assert visit.clicks <= CLICKS_MAX


@pytest.mark.parametrize(
    "options",
    [{"java_script_enabled": False, "viewport": DESK}, {"viewport": PHONE}, {"color_scheme": "dark", "viewport": DESK}],
    ids=["without JavaScript", "on a phone", "in the dark"],
)
def test_the_story_everywhere(visitor: Visitor, site: Site, options: dict[str, Any]) -> None:
    transaction = f"FT-EVERYWHERE-{len(options)}{len(str(options))}"
    event_id = site.deposit(transaction, "2.00")
    visit = visitor("operator", **options)
    visit.search(transaction)
    visit.open_event(event_id)
    visit.shows("What happened")
    visit.click("Send again")
    visit.page.get_by_role("textbox", name="Why").fill("as everywhere")
    visit.click("Plan it", "button")
    visit.click("Run exactly this", "button")
    if not options.get("java_script_enabled", True):
        ends = time.monotonic() + WAIT_MS / 1000
        while "2 of 2" not in visit.page.get_by_role("main").inner_text() and time.monotonic() < ends:
            visit.page.reload()
    visit.shows("2 of 2")
    assert visit.page.get_by_role("main").bounding_box()["width"] <= options["viewport"]["width"]  # type: ignore[index]


def test_a_viewer_sees_all_and_sends_nothing(visitor: Visitor, site: Site) -> None:
    event_id = site.deposit("FT-VIEWER", "3.00")
    visit = visitor("viewer", viewport=DESK).go(f"/staff/events/{event_id}")
    visit.shows("What happened")
    assert visit.page.get_by_role("link", name="Send again").count() == 0
    visit.allowed.append("403")
    visit.go(f"/staff/replays/new?event_id={event_id}")
    visit.shows("This is for operators, approvers and admins. You are a viewer.")


def test_a_large_replay_asks_for_a_second_person(visitor: Visitor, site: Site) -> None:
    for number in range(6):
        site.deposit(f"FT-LARGE-{number}", "4.00", details="large one")
    asks = visitor("approver", viewport=DESK)
    asks.search("large one")
    asks.shows("FT-LARGE-0")
    asks.click("Send all that were found again")
    asks.page.get_by_role("textbox", name="Why").fill("a day is lost")
    asks.click("Plan it", "button")
    asks.shows(f"These are more than {APPROVAL_ABOVE}")
    asks.click("Ask for approval", "button")
    asks.shows("awaiting approval")
    asks.shows("You asked for it, so somebody else has to.")
    assert asks.page.get_by_text("Approve", exact=True).count() == 0
    approves = visitor("admin", viewport=DESK).go(asks.page.url.removeprefix(site.url).partition("?")[0])
    approves.page.get_by_text("Approve", exact=True).click()
    approves.click("Approve and start", "button")
    approves.shows("The replay is approved, and runs.")
    # Who asked sees it move, without loading anything.
    asks.shows("12 of 12")
    asks.shows("staff:admin")


def test_a_selection_is_ticked_and_sent_again(visitor: Visitor, site: Site) -> None:
    ids = [site.deposit(f"FT-TICK-{number}", "5.00", details="tick one") for number in range(3)]
    visit = visitor("operator", viewport=DESK)
    visit.search("tick one")
    for event_id in ids[:2]:
        visit.page.get_by_label(f"Choose {event_id}").check()
    visit.click("Send the chosen again", "button")
    visit.page.get_by_role("textbox", name="Why").fill("two of three")
    visit.click("Plan it", "button")
    visit.shows("4 entries of the feed will be sent again")


def test_signing_in_is_slowed(visitor: Visitor) -> None:
    visit = visitor(viewport=DESK)
    visit.allowed += ["401", "429"]
    for _ in range(40):
        visit.sign_in("nobody-of-this-name", "not the password")
        if "Try it again in" in visit.page.get_by_role("main").inner_text():
            break
    visit.shows("Try it again in")


@pytest.mark.skipif("PICTURES" not in os.environ, reason="makes the README's picture; PICTURES=1 asks for it")
def test_the_picture_of_the_event_page(visitor: Visitor, site: Site) -> None:
    event_id = site.deposit("FT2384654NXF6", "1250.00", details="Invoice 4711")
    site.feed("ledger")
    visit = visitor("operator", viewport={"width": 1280, "height": 1000}, device_scale_factor=1)
    visit.go(f"/staff/events/{event_id}")
    visit.shows(re.compile("The bank answered: Completed"))
    visit.page.screenshot(path=PICTURE, full_page=True)
