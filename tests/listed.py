"""Reads a bank's lists whole, page by page, at a simulator or from answers that are made up."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from receiver.banks.abilities import Listed, ListsPayments
from receiver.banks.business_days import Window
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Bank

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
"""A Wednesday."""


class MadeUp(HttpClient):
    """A client that is given the parsed answers, in order, and makes no request."""

    def __init__(self, *answers: Any, options: Mapping[str, Any] | None = None) -> None:
        super().__init__("http://127.0.0.1:1", clock=lambda: NOW, token="token", options=options)
        self.answers = list(answers)
        self.asked: list[str] = []

    def get(self, path: str, headers: Mapping[str, str] | None = None, *, basic: tuple[str, str] | None = None) -> Any:
        assert headers is None
        assert basic is None
        self.asked.append(path)
        return self.answers.pop(0)


def read_whole(bank: Bank, client: HttpClient, name: str, window: Window) -> list[list[Listed]]:
    """Return the lines of each page."""
    assert isinstance(bank, ListsPayments)
    pages: list[list[Listed]] = []
    place: str | None = None
    while not pages or place is not None:
        page = bank.list_page(client, name, window, place)
        pages.append(list(page.lines))
        place = page.next
    return pages
