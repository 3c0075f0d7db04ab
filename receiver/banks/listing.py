"""Reading a bank's lists: where the next page begins, what belongs to a window, and lines that can't be read."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from receiver.banks import json_values
from receiver.banks.abilities import Listed
from receiver.banks.business_days import Window
from receiver.banks.errors import AnswerUnreadable

PAGES_MAX = 1000
"""A bank that never ends a list must not keep us for ever."""

SHOWN_CHARACTERS_MAX = 1000
"""Of a line that can't be read."""

DAY_CHARACTERS = len("2026-01-31")

EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Nothing is read that lies outside, so that every date can be counted from."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Place:
    """Where in a list a page begins; to everybody but the bank's package it is a text without a meaning."""

    first: date | None = None
    """The day that this part of the list begins with, where the bank gives it in parts."""
    number: int = 1
    """Of the page, from 1."""
    seen: int = 0
    """Lines on the pages before."""
    token: str | None = None
    """The bank's own name of the page."""
    digest: str = ""
    """Of the page before."""

    def written(self) -> str:
        """Write it as text."""
        first = None if self.first is None else self.first.isoformat()
        return json.dumps([first, self.number, self.seen, self.token, self.digest])

    @classmethod
    def read(cls, text: str) -> "Place":
        """Read what `written` wrote.

        Raises:
            AnswerUnreadable: it is something else.
        """
        try:
            first, number, seen, token, digest = json.loads(text)
            return cls(None if first is None else date.fromisoformat(first), int(number), int(seen), token, digest)
        except (ValueError, TypeError) as error:
            raise AnswerUnreadable("the place in the list is none that this bank's package has given") from error

    def turn(
        self,
        lines: Sequence[Any],
        call: str,
        *,
        asked: int | None,
        total: int | None,
        size: int | None,
        token: str | None = None,
    ) -> "tuple[Sequence[Any], Place | None]":
        """Return the lines of this page, but none that came before, and where the next begins; none after the last.

        `asked` is how many lines it was asked to have, `total` how many the bank says that the list has, `size` how
        many it says a page has. The list ends with a page that holds nothing, or with one that is not full once all are
        seen: what the bank says of either may be missing or wrong, and a page too many costs less than one that is left
        out. A bank that passes over the page's number gives all at each: where it says nothing of pages, or of as many
        lines as were seen.

        Raises:
            AnswerUnreadable: the bank gives the same page again, where it may have more, or no end.
        """
        digest = _digest(lines)
        if lines and digest == self.digest:
            is_numbered = token is None and self.token is None
            is_short = total is None and size is None and (asked is None or len(lines) < asked)
            if is_numbered and (is_short or total == self.seen):
                return [], None
            raise AnswerUnreadable(f"{call}: the same page comes again")
        seen = self.seen + len(lines)
        is_full = size is None or len(lines) >= size
        if total is not None and size is None:
            is_full = False
        if not lines or not (token is not None or is_full or (total is not None and seen < total)):
            return lines, None
        if self.number >= PAGES_MAX:
            raise AnswerUnreadable(f"{call}: more than {PAGES_MAX} pages")
        return lines, Place(self.first, self.number + 1, seen, token, digest)


def _digest(lines: Sequence[Any]) -> str:
    try:
        return json_values.digest(json_values.canonical(lines))[:16]
    except json_values.NotUnderstood:
        return hashlib.sha256(repr(lines).encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class Moment:
    """When something happened at the bank: a time, or no more than a span of time that it lies in."""

    begin: datetime
    end: datetime | None = None
    """The end of the span; none where the time is known."""

    @property
    def named_day(self) -> date | None:
        """The day, where no more is known."""
        return None if self.end is None else self.begin.date()

    def is_in(self, window: Window) -> bool:
        """Tell whether it happened in a window, or may have."""
        return self.begin in window if self.end is None else self.begin < window.end and window.begin < self.end


def moment(text: str | None) -> Moment | None:
    """Read a time (ISO 8601, UTC where it names no zone), or a day, which is the whole of it in UTC.

    None for neither, and for what is no time that anything has happened at, such as the year 1 of an empty field.
    """
    at = json_values.read_time(text or "")
    if at is None or not EARLIEST <= at < LATEST:
        return None
    is_day = len((text or "").strip()) <= DAY_CHARACTERS and at.time() == time.min
    return Moment(at, at + _DAY if is_day else None)


def unreadable(type_: str, value: Any, account: str | None = None) -> Listed:
    """Return the line for what can't be read as one: it is listed all the same, with what the bank gave."""
    return with_rest(Listed(type=type_, account=account), value)


def with_rest(line: Listed, value: Any) -> Listed:
    """Return a line, of which something that matters could not be read, with what the bank gave as JSON text."""
    try:
        shown = json_values.canonical(value)
    except json_values.NotUnderstood:
        shown = "nested too deep to be shown"
    return replace(line, detail={**line.detail, "unreadable": shown[:SHOWN_CHARACTERS_MAX]})
