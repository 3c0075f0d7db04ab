"""A receiver as staff meet it: gunicorn, a worker and a simulated bank, and what a browser says of its pages."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from conftest import make_token
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator

PASSWORD = "a password of the tests"
PEOPLE = ("viewer", "operator", "approver", "admin")
"""Who there is, each called as their role."""

WAIT_MS = 60_000
"""How long a page may take until it shows what it should: long, for the machine may be busy."""

LISTENER = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`POLICY ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""
"""Says aloud what the Content-Security-Policy has stopped."""

Bank = Callable[..., str]


@dataclass
class Site:
    """The receiver and its bank, as long as the tests run."""

    url: str
    parts: Runtime
    bank: Simulator
    token: dict[str, str]

    def deposit(self, transaction: str, amount: str, *steps: Any, **fields: Any) -> str:
        """Have the bank send a signed callback; return the event's id, once the bank has said what it knows."""
        assert self._send(transaction, amount, list(steps) or [["Completed"]], **fields) == 200
        self.wait_for_bank(transaction)
        (event,) = self.get("events", payment_id=transaction)["data"]
        return str(event["id"])

    def refused(self, transaction: str, variant: str) -> None:
        """Have the bank, or who passes for it, send a callback that is refused."""
        assert self._send(transaction, "1.00", [["Pending"]], variant=variant) == 401

    def _send(self, transaction: str, amount: str, script: Any, **fields: Any) -> int:
        body = {"transactionId": transaction, "amount": amount, "method": "hmac", "delays": [], "script": script}
        answer = requests.post(f"{self.bank.url}/_simulator/deposits", json=body | fields, timeout=30)
        (delivery,) = answer.json()["deliveries"]
        return int(delivery["status"])

    def post(self, what: str, **body: Any) -> dict[str, Any]:
        """Have the API do something."""
        answer = requests.post(f"{self.url}/api/v1/{what}", json=body, headers=self.token, timeout=30)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, what: str, **query: str) -> dict[str, Any]:
        """Ask the API."""
        answer = requests.get(f"{self.url}/api/v1/{what}", params=query, headers=self.token, timeout=30)
        found: dict[str, Any] = answer.json()
        return found

    def wait_for_bank(self, payment: str) -> None:
        """Wait until the bank has answered, and apps are told: then an event has two entries in the feed."""
        ends = time.monotonic() + WAIT_MS / 1000
        while self.get(f"payments/bcb/{payment}").get("agreement") not in ("confirmed", "contradicted"):
            assert time.monotonic() < ends, payment
            time.sleep(0.05)

    def feed(self, consumer: str) -> list[dict[str, Any]]:
        """Read what a consumer has not read, as an app does, and acknowledge it."""
        path = f"{self.url}/api/v1/consumers/{consumer}"
        page = requests.get(f"{path}/feed", headers=self.token, params={"limit": "1000"}, timeout=30).json()
        requests.post(f"{path}/ack", headers=self.token, json={"cursor": page["next"]}, timeout=30)
        entries: list[dict[str, Any]] = page["data"]
        return entries


@dataclass
class Visit:
    """One person's browser, which notes what goes wrong in it."""

    site: Site
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    """What is no fault: parts of texts, such as that a page was refused on purpose."""
    clicks: int = 0

    def note(self, message: ConsoleMessage) -> None:
        """Write down a fault that the console shows."""
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.text} at {self.page.url}")

    def go(self, path: str) -> "Visit":
        """Open a page by its address."""
        self.page.goto(self.site.url + path)
        return self

    def sign_in(self, name: str, password: str = PASSWORD) -> "Visit":
        """Sign in by the form."""
        if "/sign-in" not in self.page.url:
            self.go("/staff/sign-in")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        return self

    def click(self, name: str, role: Any = "link", exact: bool = False) -> None:
        """Click something by its name; clicks are counted."""
        self.clicks += 1
        self.page.get_by_role(role, name=name, exact=exact).first.click()

    def open_event(self, event_id: str) -> None:
        """Click the link to an event in a list, whatever it is called; clicks are counted."""
        self.clicks += 1
        self.page.locator(f'main a[href$="/staff/events/{event_id}"]').first.click()

    def search(self, text: str) -> None:
        """Type into the search box of the head of the page, and send it: that counts as one click."""
        self.clicks += 1
        box = self.page.get_by_role("banner").get_by_role("searchbox")
        box.fill(text)
        box.press("Enter")

    def shows(self, text: str | re.Pattern[str]) -> None:
        """Wait until the page shows a text."""
        expect(self.page.get_by_role("main")).to_contain_text(text, timeout=WAIT_MS)

    def check(self) -> None:
        """Fail where something went wrong in the browser."""
        assert [fault for fault in self.faults if not any(text in fault for text in self.allowed)] == []


@contextmanager
def visit(browser: Browser, site: Site, **options: Any) -> Iterator[Visit]:
    """Open a browser of its own, and look in the end at what its console has said."""
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(LISTENER)
    made = Visit(site, context, context.new_page())
    made.page.on("console", made.note)
    made.page.on("pageerror", lambda error: made.faults.append(f"{error} at {made.page.url}"))
    made.page.on(
        "request", lambda asked: None if asked.url.startswith(site.url) else made.faults.append(f"asks {asked.url}")
    )
    yield made
    context.close()
    made.check()


def token_for(parts: Runtime) -> dict[str, str]:
    """Headers with a token for everything."""
    return make_token(parts, name="ledger-app")


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)
