"""Business days: the calendar of each source, and one day with what its bank's list and our events say."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from flask import Response

from receiver.admin import day_lines, day_verification
from receiver.admin import days as acts
from receiver.admin.days import Day
from receiver.admin.names import Names
from receiver.admin.sessions import Visitor
from receiver.admin.sources import listing as all_sources
from receiver.model import DayCategory, DayState, Role
from receiver.runtime import Runtime
from receiver.store.day_lines import COLUMNS, DayLine
from receiver.web.problems import Problem
from receiver.web.schemas import spreadsheet
from receiver.web.staff import lists
from receiver.web.staff.audit import file_of
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import here, render, url
from receiver.web.staff.sources import names

CATEGORIES = tuple(map(str, DayCategory))

DIFFERS = (
    DayCategory.AMOUNT_DIFFERS,
    DayCategory.STATUS_DIFFERS,
    DayCategory.OURS_ALONE,
    DayCategory.BANK_ALONE,
)
"""What of a closed day somebody should look at."""

ABOUT = {
    "amount_differs": "The callback's amount or currency is another one than the bank's list has.",
    "status_differs": "A callback claims, or a check has found, another final state than the bank's word.",
    "ours_alone": "A callback tells of a payment that no list of the bank has.",
    "bank_alone": "The bank's list has it, and no event tells of it yet.",
    "recovered": "No callback came: the sweep found it.",
    "not_final": "The bank has not said yet what becomes of it.",
    "agreed": "A callback came, and nothing in it differs.",
}


OPEN = 0
"""What the links to further pages of an open day have for its version."""


class Cell(NamedTuple):
    """A day of a month: what is shown of it, its kind of badge, and the business day behind it."""

    number: int
    words: str
    kind: str
    day: date | None


class Calendar(NamedTuple):
    """A month of one source, week by week from Monday on; `words` say why there is none."""

    source: str
    weeks: Sequence[Sequence[Cell | None]]
    words: str = ""


class Days:
    """The views of business days."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    @Page("GET /days")
    def days(self, visitor: Visitor) -> Response:
        """Show a month of each source."""
        chosen = lists.several("source")
        Names(self._runtime.database).check_all("source", chosen)
        first = _month(lists.one("month"), self._runtime.clock().date())
        return render(
            "days.html",
            "Days",
            fragment="found",
            calendars=list(self._calendars(chosen, first)),
            first=first,
            before=here(month=f"{first - timedelta(days=1):%Y-%m}"),
            after=here(month=f"{first + timedelta(days=31):%Y-%m}"),
            sources=names(self._runtime),
            chips=lists.chips("source", "month"),
        )

    def _calendars(self, chosen: Sequence[str], first: date) -> Iterator[Calendar]:
        for source in all_sources(self._runtime):
            if chosen and source.name not in chosen:
                continue
            if why := acts.why_none(self._runtime, source):
                yield Calendar(source.name, (), why)
            else:
                yield Calendar(source.name, _weeks(first, acts.month(self._runtime, source, first)))

    @Page("GET /days/<source>/<date>")
    def day(self, visitor: Visitor, source: str, date: str) -> Response:
        """Show one day: its numbers, and the lines of a category."""
        day, version = _day(date), lists.number("version")
        categories = [DayCategory(word) for word in lists.several("category", CATEGORIES)]
        found = acts.find(self._runtime, source, day, version or None)
        # Once the day is closed, its lines stand in other places than on the page before.
        was_open = version == OPEN and found.record is not None
        place = 0 if was_open else lists.number("place") or 0
        lines = day_lines.lines(self._runtime, found, categories, place=place, limit=lists.PAGE + 1)
        return render(
            "day.html",
            f"{source}, {day}",
            fragment="found",
            found=found,
            closed=DayState.CLOSED,
            detection=found.content.get("detection"),
            about=ABOUT,
            lines=self._shown(visitor, lines[: lists.PAGE]),
            tabs=_tabs(found, categories),
            chosen=categories,
            following=here(place=place + lists.PAGE, version=found.record.version if found.record else OPEN)
            if len(lines) > lists.PAGE
            else None,
            beginning=here(place=None) if place else None,
            business=acts.beside(found),
            may_act=visitor.may(Role.OPERATOR),
        )

    def _shown(self, visitor: Visitor, lines: Sequence[DayLine]) -> Sequence[DayLine]:
        return lines if visitor.payloads else [day_lines.masked(line) for line in lines]

    @Page("GET /days/<source>/<date>/lines.csv")
    def csv(self, visitor: Visitor, source: str, date: str) -> Response:
        """Export the lines, or those of a category, as CSV for spreadsheets."""
        found = acts.find(self._runtime, source, _day(date), lists.number("version") or None)
        categories = [DayCategory(word) for word in lists.several("category", CATEGORIES)]

        def lines() -> Iterator[str]:
            yield spreadsheet.line(COLUMNS)
            for line in day_lines.every_line(self._runtime, found, categories):
                shown = line if visitor.payloads else day_lines.masked(line)
                yield spreadsheet.line(getattr(shown, name) for name in COLUMNS)

        return file_of(lines(), "text/csv; charset=utf-8", f"{source}-{date}.csv")

    @Page("GET /days/<source>/<date>/day.json", payloads=True)
    def export(self, visitor: Visitor, source: str, date: str) -> Response:
        """Export the whole day, accounts in full, as the file that `receiver days verify --file` takes."""
        found = acts.find(self._runtime, source, _day(date), lists.number("version") or None)
        return file_of(day_verification.export(self._runtime, found), "application/json", f"{source}-{date}.json")

    @Page("POST /days/<source>/<date>/close", role=Role.OPERATOR)
    def close(self, visitor: Visitor, source: str, date: str) -> Response:
        """Close the day now, or look whether something has changed since."""
        day = _day(date)
        return done(
            lambda: acts.close_short(self._runtime, visitor.who, source, day),
            url("days", source, date),
            lambda closed: (
                f"Closed in version {closed[0].version}." if closed[1] else "Nothing has changed since this version."
            ),
        )

    @Page("POST /days/<source>/<date>/verify", role=Role.OPERATOR)
    def verify(self, visitor: Visitor, source: str, date: str) -> Response:
        """Check that the day's versions are as they were closed."""
        day = _day(date)
        return done(
            lambda: day_verification.verify(self._runtime, source, day),
            # Not to the day: what was changed may not be readable there.
            url("days", source=source, month=date[:7]),
            lambda number: f"{day} is as it was closed, in {number} version{'s' if number > 1 else ''}.",
        )


def _day(text: str) -> date:
    try:
        return acts.a_day(text)
    except ValueError as error:
        raise Problem(400, "A day is written such as 2026-01-31.") from error


def _month(text: str, today: date) -> date:
    try:
        return acts.a_day(f"{text}-01") if text else today.replace(day=1)
    except ValueError as error:
        raise Problem(400, "“month” takes a month such as 2026-01.") from error


def _weeks(first: date, found: dict[date, Day]) -> list[list[Cell | None]]:
    days: list[Cell | None] = [None] * first.weekday()
    day = first
    while day.month == first.month:
        days.append(_cell(day, found.get(day)))
        day += timedelta(days=1)
    days += [None] * (-len(days) % 7)
    return [days[start : start + 7] for start in range(0, len(days), 7)]


def _cell(day: date, found: Day | None) -> Cell:
    if found is None:
        return Cell(day.day, "", "plain", None)
    if found.state != DayState.CLOSED:
        kind = "warn" if found.state == DayState.INCOMPLETE else "plain"
        return Cell(day.day, str(found.state), kind, day)
    differing = sum(found.numbers[category] for category in DIFFERS)
    waiting = found.numbers[DayCategory.NOT_FINAL]
    if differing:
        return Cell(day.day, f"{differing} differ{'s' if differing == 1 else ''}", "bad", day)
    return Cell(day.day, f"{waiting} not final", "info", day) if waiting else Cell(day.day, "closed", "good", day)


def _tabs(found: Day, chosen: Sequence[DayCategory]) -> list[tuple[str, str, bool]]:
    """Return the choices of lines: all, and each category that has some."""
    every = [(f"all {sum(found.numbers.values()):,}", here(category=None, place=None), not chosen)]
    return every + [
        (f"{str(category).replace('_', ' ')} {number:,}", here(category=category, place=None), chosen == [category])
        for category, number in found.numbers.items()
        if number
    ]
