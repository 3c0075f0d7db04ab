"""Business days: the bank's list against our events."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Self

from pydantic import Field

from receiver.admin import days as acts
from receiver.model import DayCategory, DayState
from receiver.store import day_lines
from receiver.web.schemas.base import (
    FROM_DIGITS,
    PAGE,
    Agreement,
    Amount,
    Answer,
    LeftOut,
    Limit,
    ListPage,
    Path,
    PathText,
    Query,
    Sha256,
    SourceName,
    Status,
    Time,
    left_out,
    one_of,
)

CATEGORIES = tuple(map(str, DayCategory))
STATES = tuple(map(str, DayState))

Category = Annotated[str, Field(json_schema_extra={"enum": list(CATEGORIES)})]
State = Annotated[str, Field(json_schema_extra={"enum": list(STATES)})]
Date = Annotated[str, Field(examples=["2026-03-02"], json_schema_extra={"format": "date"})]


class DaysQuery(Query):
    """Which days to list."""

    source: list[SourceName] = Field(default_factory=list)
    """A source's name. Repeatable."""
    limit: Limit = Field(PAGE, examples=[10])
    """Days in a page."""
    cursor: LeftOut[str] = left_out()
    """The `next` of the page before; repeat the filters with it."""


class DayPath(Path):
    """One business day."""

    source: Annotated[PathText, Field(examples=["bcb"])]
    """The source's name."""
    date: Annotated[PathText, Field(examples=["2026-03-02"])]
    """The business day, by the bank's calendar."""


class DayQuery(Query):
    """What of a day to show."""

    version: LeftOut[Annotated[int, Field(ge=1, le=1_000_000), FROM_DIGITS]] = left_out()
    """A version of a closed day; the latest one where none is named."""
    category: list[Annotated[Category, one_of(CATEGORIES)]] = Field(default_factory=list)
    """Lines of this category alone. Repeatable."""
    limit: Limit = Field(PAGE, examples=[10])
    """Lines in a page."""
    cursor: LeftOut[str] = left_out()
    """The `next` of the page before, which goes on in the same version; repeat the filters with it."""


class DaySummary(Answer):
    """How far a business day has come, and how many lines of each category it has; null where it is not closed."""

    source: str
    date: Date
    state: State
    version: int | None
    closed_at: Time | None
    incomplete_until: Time | None
    """When the bank's list of an incomplete day will have been read, as far as that is known."""
    agreed: int | None
    recovered: int | None
    bank_alone: int | None
    ours_alone: int | None
    amount_differs: int | None
    status_differs: int | None
    not_final: int | None
    digest: Sha256 | None

    @classmethod
    def made(cls, found: acts.Day) -> Self:
        """Show a day without its lines."""
        record = found.record
        return cls(
            source=found.source.name,
            date=found.day.isoformat(),
            state=str(found.state),
            version=record.version if record else None,
            closed_at=record.closed_at if record else None,
            incomplete_until=found.incomplete_until,
            digest=record.digest if record else None,
            **{str(category): number if record else None for category, number in found.numbers.items()},
        )


class DaysPage(ListPage):
    """Business days, the latest first; those of one day by their sources."""

    data: list[DaySummary]
    next: str | None
    """The cursor of the next page; null on the last one."""


class DayCount(Answer):
    """The lines of one category and currency: how many, and the sums of their amounts without a sign."""

    category: Category
    currency: str | None
    """Null where the lines name none."""
    number: int
    bank_amount: Amount
    """By the bank's list."""
    our_amount: Amount
    """By our events."""


class DayDetection(Answer):
    """How long after the bank's own time of a line its callback came."""

    p50_seconds: float | None
    p95_seconds: float | None
    latest_seconds: float | None
    timed: int
    """Lines that these are of."""
    untimed: int
    """Lines whose callback came and for which the bank names no time."""
    late: int
    """Callbacks that came once the day could have been closed."""
    never: int
    """Lines for which no callback came."""


class DayLine(Answer):
    """One line of a day: what the bank's list has, beside what our event tells; what is not known is null."""

    category: Category
    list_name: str | None
    """Which of the bank's lists has it: an account, where the bank lists by account."""
    type: str | None
    payment_id: str | None
    reference: str | None
    account: str | None
    direction: str | None
    """`incoming` or `outgoing`."""
    amount: Amount | None
    """The bank's, without a sign."""
    currency: str | None
    bank_status: str | None
    """The bank's own word on the line."""
    status: Status | None
    """What that is in ours."""
    at: Time | None
    """The bank's own time."""
    event_id: str | None
    our_amount: Amount | None
    our_currency: str | None
    claimed_status: Status | None
    our_status: Status | None
    """What the bank's API said when it was asked for this payment."""
    agreement: Agreement | None
    received_at: Time | None
    """When the callback came."""
    detection_seconds: float | None
    why: str | None
    """What differs, in words."""


class DayVersion(Answer):
    """One version of a closed day."""

    version: int
    closed_at: Time
    lines: int
    digest: Sha256


class Day(ListPage):
    """A business day with a page of its lines; as CSV the lines alone."""

    source: str
    date: Date
    state: State
    words: str
    """How far it has come, in words."""
    begins_at: Time
    ends_at: Time
    covered_until: Time | None
    """Until when the bank's list had been read."""
    incomplete_until: Time | None
    """When the bank's list of an incomplete day will have been read, as far as that is known."""
    version: int | None
    """Null where the day is not closed: then it is shown as it is just now."""
    closed_at: Time | None
    digest: Sha256 | None
    """HMAC-SHA256 over all that is said of the day, its lines and the day before."""
    versions: list[DayVersion]
    """The first one first."""
    numbers: list[DayCount]
    detection: DayDetection | None
    data: list[DayLine]
    """Lines, category by category."""
    next: str | None
    """The cursor of the next page; null on the last one."""

    @classmethod
    def made(cls, found: acts.Day, lines: Sequence[day_lines.DayLine], following: str | None) -> Self:
        """Put a day and a page of its lines together."""
        record = found.record
        detection: Any = found.content.get("detection")
        return cls(
            source=found.source.name,
            date=found.day.isoformat(),
            state=str(found.state),
            words=found.words,
            begins_at=found.window.begin,
            ends_at=found.window.end,
            covered_until=found.covered_until,
            incomplete_until=found.incomplete_until,
            version=record.version if record else None,
            closed_at=record.closed_at if record else None,
            digest=record.digest if record else None,
            versions=[versions_shown(each) for each in found.versions],
            numbers=[DayCount.of(each) for each in found.counts],
            detection=DayDetection(**detection) if detection else None,
            data=[DayLine.of(line) for line in lines],
            next=following,
        )


def versions_shown(record: Any) -> DayVersion:
    """Show a version without what it says."""
    return DayVersion(version=record.version, closed_at=record.closed_at, lines=record.number, digest=record.digest)


def place_of(found: acts.Day) -> str:
    """Return the place of a day in the list of days."""
    return f"{found.day.isoformat()} {found.source.name}"


def place_in(text: str) -> tuple[date, str]:
    """Read what `place_of` has written."""
    day, _, name = text.partition(" ")
    return date.fromisoformat(day), name
