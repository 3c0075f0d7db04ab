"""How the pages look, to whoever reads them with a screen reader, in the dark, on a phone or without JavaScript."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from reconcile.ledger import Ledger
from staff.site import WAIT_MS, Site, Visit, visit

from receiver import runtime
from receiver.store import sources
from receiver.web import create_app

Visitor = Callable[..., Visit]

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


def pages(site: Site) -> list[str]:
    """Every page that is reached without an id."""
    app: Flask = create_app(runtime.start(site.parts.settings))
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/staff")]
    listed = (rule.rule for rule in rules if "GET" in (rule.methods or ()) and not rule.arguments)
    # Not what is a file, nor what leads to a provider that is not set up here.
    return sorted(path for path in listed if "." not in path and "openid" not in path)


@pytest.fixture(scope="module")
def full(site: Site, browser: Browser) -> list[str]:
    """The addresses of all pages, with something on each list, and of one thing of each list."""
    site.deposit("FT-LOOKS-1", "1250.00", details="Invoice 4711")
    site.deposit("FT-LOOKS-2", "12.00", ["Reversed"])
    site.refused("FT-LOOKS-3", "forged")
    site.refused("FT-LOOKS-4", "stale")
    site.feed("looker")
    plan = site.post("replays", dry_run=True, reason="to look at it")["plan"]
    site.post("replays", plan=plan)
    lists = [*pages(site), closed_day(site)]
    with visit(browser, site) as admin:
        admin.sign_in("admin")
        return lists + [place for path in lists if (place := _first_of(admin.go(path).page))]


def closed_day(site: Site) -> str:
    """Fill both sides of a day that the worker closes, and return its page once it has."""
    now = site.parts.clock()
    with site.parts.database.read() as connection:
        source = sources.find(connection, "bcb")
    assert source is not None
    ledger = Ledger(site.parts, source)
    at = now - timedelta(days=2)
    ledger.line("FT-LOOKS-5", event_id=ledger.event("FT-LOOKS-5", at=at), day=at.date(), at=at)
    ledger.line("FT-LOOKS-6", "12.00", day=at.date(), at=at)
    ledger.event("FT-LOOKS-7", at=at)
    ledger.covered(now)
    ends = time.monotonic() + WAIT_MS / 1000
    while site.get(f"days/bcb/{at.date()}").get("state") != "closed":
        assert time.monotonic() < ends
        time.sleep(0.1)
    return f"/staff/days/bcb/{at.date()}"


def _first_of(page: Page) -> str | None:
    """Where the first row of a page's list leads."""
    link = page.locator("main tbody a.open").first
    found = link.get_attribute("href") if link.count() else None
    return found if found and "?" not in found else None


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong, by its rules of WCAG 2.2 and of good practice."""
    found = Axe().run(page)
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_wrong_with_any_page(visitor: Visitor, full: list[str], theme: Any) -> None:
    nobody = visitor(color_scheme=theme, viewport=DESK).go("/staff/sign-in")
    assert violations(nobody.page) == []
    admin = visitor("admin", color_scheme=theme, viewport=DESK)
    wrong = {path: found for path in full if (found := violations(admin.go(path).page))}
    assert wrong == {}
    # What is shown only where a form was sent.
    admin.go("/staff/replays/new").page.get_by_role("textbox", name="Why").fill("to look at the plan")
    admin.click("Plan it", "button")
    admin.shows("will be sent again")
    assert violations(admin.page) == []


@pytest.fixture
def framing(site: Site) -> Iterator[str]:
    """The address of another site, whose page holds ours in a frame."""

    class Framing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<title>frame</title><iframe src="{site.url}/staff/sign-in"></iframe>'.encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Framing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_no_page_is_shown_in_a_frame(visitor: Visitor, framing: str) -> None:
    nobody = visitor()
    nobody.allowed += [framing, "frame-ancestors"]
    with nobody.page.expect_event("requestfailed", lambda asked: "/staff" in asked.url) as blocked:
        nobody.page.goto(framing)
    # By the answer's own headers: nothing else fails so.
    assert blocked.value.failure == "net::ERR_BLOCKED_BY_RESPONSE"
    expect(nobody.page.frame_locator("iframe").get_by_label("Password")).to_have_count(0)


def test_no_page_is_wider_than_a_phone(visitor: Visitor, full: list[str]) -> None:
    admin = visitor("admin", viewport=PHONE, has_touch=True)
    wide = {}
    for path in full:
        width = admin.go(path).page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            wide[path] = width
    assert wide == {}
