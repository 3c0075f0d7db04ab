"""A bank that lists what it knows, over HTTP: what a test has put there, page by page, moved while it is read."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tiny_bank import TinyBank, answer, serving

from receiver import banks
from receiver.banks.abilities import Listed, ListPage
from receiver.banks.business_days import Window
from receiver.banks.http import HttpClient

ACCOUNT = "1046406142"


@dataclass(frozen=True)
class Entry:
    """A line of the bank's list."""

    id: str | None
    at: datetime
    amount: str = "1000.00"
    direction: str = "incoming"
    currency: str = "USD"
    account: str = ACCOUNT
    reference: str | None = None
    is_timed: bool = True
    """Whether the bank tells `at`; it lists by it all the same."""


@dataclass
class ListingBank:
    """The bank's side; `lists` holds the lines of each list, in the order in which the bank gives them."""

    server: TinyBank
    lists: dict[str, list[Entry]] = field(default_factory=lambda: {ACCOUNT: []})
    page_size: int = 100
    unnamed: set[str] = field(default_factory=set)
    """Lists that are there, but are not named."""
    refused: set[str] = field(default_factory=set)
    """Lists of which nothing is told, but `refusal`."""
    refusal: int = 403
    status: int = 200
    """What questions about lists are answered with."""
    between: Callable[[int], None] = lambda _: None
    """Called before each page with the number of pages that were asked for until then."""
    pages: list[tuple[str, str, str]] = field(default_factory=list)
    """The list, the beginning and the end of each page that was asked for."""

    def add(self, *entries: Entry, name: str = ACCOUNT) -> None:
        """Put lines at the front of a list: the newest come first."""
        self.lists.setdefault(name, [])[0:0] = [replace(entry, account=name) for entry in entries]

    @staticmethod
    def is_in(entry: Entry, begin: datetime, end: datetime) -> bool:
        """What is known by its day alone is in each window of it."""
        if (entry.at.hour, entry.at.minute) == (0, 0):
            return entry.at < end and begin < entry.at + timedelta(days=1)
        return begin <= entry.at < end

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, query = urlsplit(handler.path).path, parse_qs(urlsplit(handler.path).query)
        status: int = 200
        told: dict[str, Any] = {"token": "t", "status": "Completed"}
        if path == "/lists":
            status, told = self.status, {"names": sorted(self.lists.keys() - self.unnamed), "error": "not for you"}
        elif path.startswith("/lists/"):
            name = path.rpartition("/")[2]
            status, told = self.refusal if name in self.refused else self.status, self.page(name, query)
        answer(handler, status, json.dumps(told).encode())

    def page(self, name: str, query: dict[str, list[str]]) -> dict[str, Any]:
        self.between(len(self.pages))
        begin, end = query["begin"][0], query["end"][0]
        self.pages.append((name, begin, end))
        first = int(query.get("place", ["0"])[0])
        window = [
            entry
            for entry in self.lists[name]
            if self.is_in(entry, datetime.fromisoformat(begin), datetime.fromisoformat(end))
        ]
        shown = [{**vars(entry), "at": entry.at.isoformat()} for entry in window[first : first + self.page_size]]
        return {"lines": shown, "next": first + self.page_size if first + self.page_size < len(window) else None}


def _lists(client: HttpClient) -> Sequence[str]:
    return list(client.get("/lists")["names"])


def _list_page(client: HttpClient, name: str, window: Window, place: str | None) -> ListPage:
    asked = {"begin": window.begin.isoformat(), "end": window.end.isoformat()} | ({"place": place} if place else {})
    page = client.get(f"/lists/{name}?{urlencode(asked)}")
    following = page["next"]
    return ListPage([_listed(**line) for line in page["lines"]], None if following is None else str(following))


def _listed(
    id: str | None,  # noqa: A002 - the bank's word
    at: str,
    amount: str,
    direction: str,
    is_timed: bool,
    **more: Any,
) -> Listed:
    kind = "bcb.debit" if direction == "outgoing" else "bcb.deposit"
    when, worth = datetime.fromisoformat(at) if is_timed else None, Decimal(amount)
    return Listed(type=kind, payment_id=id, at=when, amount=worth, direction=direction, **more)


def teach(patch: pytest.MonkeyPatch) -> None:
    """Have the source's bank list what it knows at such a server."""
    patch.setattr(banks.named("bcb"), "lists", _lists, raising=False)
    patch.setattr(banks.named("bcb"), "list_page", _list_page, raising=False)


@contextmanager
def listing_bank() -> Iterator[ListingBank]:
    """Such a bank, for as long as the block lasts."""
    with serving() as server:
        bank = ListingBank(server)
        server.answer = bank.answer
        yield bank
