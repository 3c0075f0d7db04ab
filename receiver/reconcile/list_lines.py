"""A line of a bank's list as it is stored: whatever the bank gave, it can be; and lines of two readings of one list."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from receiver.banks import json_values
from receiver.banks.abilities import Listed
from receiver.banks.business_days import BusinessDays
from receiver.store.bank_lines import NewLine

TEXT_CHARACTERS_MAX = 500

YEARS = range(1970, 9000)

Counts = Counter[tuple[str, datetime | None]]
"""How often each line is in a reading, by what makes it this one, and its time."""


def as_stored(
    line: Listed,
    list_name: str,
    bank: str,
    days: Callable[[date], BusinessDays],
    now: datetime,
    begin: datetime | None = None,
) -> NewLine:
    """Return a line of a list as it is stored: of the day that the bank names, or of that of its time.

    One with neither belongs to the business day of `now`. One without a name too belongs to the day on which the window
    that was read begins: nothing else tells it from those of other days. `days` gives the business days around a date.
    """
    at = _time(line.at)
    named_day = line.named_day if at is not None else None
    payment_id, reference = _text(line.payment_id), _text(line.reference)
    moment = at or (now if begin is None or payment_id or reference else min(begin, now))
    amount = line.amount.copy_abs() if isinstance(line.amount, Decimal) and line.amount.is_finite() else None
    return NewLine(
        list_name=list_name,
        day=days(moment.date()).day_of(moment) if named_day is None else days(named_day).day_named(named_day),
        type=_text(line.type) or f"{bank}.unrecognised",
        payment_id=payment_id,
        reference=reference,
        account=_text(line.account),
        direction=line.direction if line.direction in ("incoming", "outgoing") else None,
        amount=json_values.decimal_text(amount),
        currency=_text(line.currency),
        bank_status=_text(line.bank_status),
        status=line.status,
        at=at,
        detail=json.loads(json.dumps(dict(line.detail), default=str)),
        named_day=named_day,
    )


def _text(given: str | None) -> str | None:
    """Return a text that both databases take; none for an empty one."""
    if not isinstance(given, str) or not given:
        return None
    return given.replace("\0", "").encode("utf-8", "replace").decode()[:TEXT_CHARACTERS_MAX] or None


def _time(given: datetime | None) -> datetime | None:
    """Return a time that can be one of a payment; none for one that names no zone, or is out of all reckoning."""
    if given is None or given.tzinfo is None or given.year not in YEARS:
        return None
    return given.astimezone(UTC)


def counted(lines: Sequence[NewLine]) -> Counts:
    """Return how often each line is there."""
    return Counter((line.base, line.at) for line in lines)


def agree(one: Counts, lines: Sequence[NewLine]) -> bool:
    """Tell whether two readings have the same lines; what has a name may be there more often, since pages move.

    What has none is known by how many there are alone: these have to be as many in both.
    """
    other = counted(lines)
    nameless = {(line.base, line.at) for line in lines if line.is_nameless}
    return one.keys() == other.keys() and all(one[each] == other[each] for each in nameless)


def no_more_than(lines: Sequence[NewLine], counts: Counts) -> list[NewLine]:
    """Return lines, each no more often than it is counted."""
    left = counts.copy()
    found = []
    for line in lines:
        if left[line.base, line.at] > 0:
            left[line.base, line.at] -= 1
            found.append(line)
    return found
