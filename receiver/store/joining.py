"""Whether a line of a bank's list and an event tell of the same: by account, direction, amount and currency.

An id alone does not say it: both sides of a transfer have the same one, and so have its fees. What one of the two does
not tell sets them apart from nothing. Whether a currency is written in capitals does not either.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from receiver.store import particulars


class Parts(NamedTuple):
    """What tells a movement of money from another one that has the same name."""

    accounts: frozenset[str]
    """Our own, by whichever of its numbers."""
    direction: str | None
    """`incoming` or `outgoing`."""
    amount: Decimal | None
    """Without a sign."""
    currency: str | None
    """In capitals."""

    @property
    def is_complete(self) -> bool:
        """Whether all of it is known."""
        return bool(self.accounts) and None not in (self.direction, self.amount, self.currency)

    def is_same(self, other: "Parts") -> bool:
        """Tell whether nothing sets the two apart."""
        return self.is_same_but_amount(other) and not _differ(self.amount, other.amount)

    def is_same_but_amount(self, other: "Parts") -> bool:
        """Tell whether nothing but the amount may set the two apart."""
        return self.is_same_but_worth(other) and not _differ(self.currency, other.currency)

    def is_same_but_worth(self, other: "Parts") -> bool:
        """Tell whether nothing but amount and currency may set the two apart."""
        if self.accounts and other.accounts and self.accounts.isdisjoint(other.accounts):
            return False
        return not _differ(self.direction, other.direction)


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other


def of_event(amount: str | None, currency: str | None, facts: Mapping[str, Any]) -> Parts:
    """Return the parts of an event; `facts` are what else it told."""
    # Where all that is known is the bank's own id of an account, a list may call that by its number.
    is_known = bool(particulars.texts(facts, ("account_number", "iban")))
    accounts = particulars.texts(facts, particulars.ACCOUNTS) if is_known else ()
    return Parts(frozenset(accounts), particulars.direction(facts), worth(amount), _capital(currency))


def of_line(account: str | None, direction: str | None, amount: str | None, currency: str | None) -> Parts:
    """Return the parts of a line."""
    return Parts(frozenset({account} if account else ()), direction, worth(amount), _capital(currency))


def differ_in_amount(one: str | None, other: str | None) -> bool:
    """Tell whether two amounts, as they are written, are known and not the same."""
    return _differ(worth(one), worth(other))


def differ_in_currency(one: str | None, other: str | None) -> bool:
    """Tell whether two currencies, as they are written, are known and not the same."""
    return _differ(_capital(one), _capital(other))


def worth(amount: str | None) -> Decimal | None:
    """Return an amount without its sign; none where there is none, or what is no number."""
    try:
        found = Decimal(amount) if amount is not None else None
    except InvalidOperation:
        return None
    return found.copy_abs() if found is not None and found.is_finite() else None


def _capital(currency: str | None) -> str | None:
    return currency and currency.upper()


def names_of(payment_id: str | None, subject: str | None, facts: Mapping[str, Any]) -> set[str]:
    """Return the names by which a line may tell of what an event is about: its id, and its references."""
    names = (payment_id, subject, *particulars.texts(facts, particulars.REFERENCES))
    return {name for name in names if name and _is_storable(name)}


def _is_storable(name: str) -> bool:
    """Tell whether both databases can be asked for a text: a line has no other name, and a callback may have any."""
    return "\0" not in name and not any("\ud800" <= character <= "\udfff" for character in name)


_STEPS = ("_booked", "_processed", ".payment_status", ".unrecognised")
"""How types end that tell of steps of one movement of money, or do not say of what."""

_REVERSED = ".reversed"
"""A movement of its own, of the same amount."""


class Candidate(NamedTuple):
    """An event that may tell of what a line does."""

    id: str
    type: str
    parts: Parts
    is_taken: bool = False
    """Whether a line has it whose amount is another one: it has it for want of a better one."""


class Unjoined(NamedTuple):
    """A line that no event is known for."""

    id: int
    list_name: str
    type: str
    parts: Parts


def exact(lines: Sequence[Unjoined], events: Mapping[int, Sequence[Candidate]]) -> dict[int, str]:
    """Return which line is which event's, by their ids: nothing sets the two apart.

    No event is of two lines of one list. `events` are those of the same payment that no line of its list has that tells
    the very same, by the line's id. One of the line's own type comes before others.
    """
    return _paired(lines, events, _is_exact)


def _is_exact(line: Unjoined, event: Candidate) -> bool:
    return _may_tell(line, event) and line.parts.is_same(event.parts)


def _may_tell(line: Unjoined, event: Candidate) -> bool:
    """Tell whether an event of its type may be the line's: what tells of no amount may be about anything."""
    if line.type == event.type or (line.type.endswith(_STEPS) and event.type.endswith(_STEPS)):
        return True
    return event.parts.amount is not None and not (line.type.endswith(_REVERSED) or event.type.endswith(_REVERSED))


def but_for_amount(lines: Sequence[Unjoined], events: Mapping[int, Sequence[Candidate]]) -> dict[int, str]:
    """Return the same for those whose amounts differ, and that agree in all else, direction and currency at least."""
    return _paired(lines, events, _is_close)


def _is_close(line: Unjoined, event: Candidate) -> bool:
    is_known = None not in (line.parts.direction, line.parts.currency, event.parts.direction, event.parts.currency)
    return not event.is_taken and is_known and line.type == event.type and line.parts.is_same_but_amount(event.parts)


def strays(events: Iterable[Candidate], known: Iterable[tuple[str, Parts]]) -> list[str]:
    """Return the events of a payment, by their ids, that tell of a movement which is none of those that are known.

    These are given by type and parts. Of several events of one such movement it is the first one; what does not tell
    all its parts may be of any.
    """
    movements = dict.fromkeys(known)
    found: list[str] = []
    for event in events:
        if event.parts.is_complete and not any(is_of(event, type_, parts) for type_, parts in movements):
            movements[event.type, event.parts] = None
            found.append(event.id)
    return found


def is_of(event: Candidate, type_: str, parts: Parts) -> bool:
    """Tell whether an event may be of a movement; of an exchange each step may be told in another currency."""
    if event.parts.is_same(parts):
        return True
    are_steps = event.type != type_ and event.type.endswith(_STEPS) and type_.endswith(_STEPS)
    is_exchanged = are_steps and _differ(event.parts.currency, parts.currency)
    return is_exchanged and event.parts.is_same_but_worth(parts)


def is_of_other_worth(event: Candidate, type_: str, parts: Parts) -> bool:
    """Tell whether an event is of a movement but for the amount, or the currency; where it is an exchange it is not."""
    are_known = None not in (event.parts.amount, parts.amount)
    return are_known and event.parts.is_same_but_worth(parts) and not is_of(event, type_, parts)


def _paired(
    lines: Sequence[Unjoined], events: Mapping[int, Sequence[Candidate]], fits: Callable[[Unjoined, Candidate], bool]
) -> dict[int, str]:
    pairs: dict[int, str] = {}
    lists = {line.id: line.list_name for line in lines}
    for own_type in (True, False):
        for line in lines:
            if line.id in pairs:
                continue
            taken = {event_id for other, event_id in pairs.items() if lists[other] == line.list_name}
            free = (event for event in events.get(line.id, ()) if event.id not in taken)
            own = (event for event in free if (event.type == line.type) >= own_type)
            if found := next((event for event in own if fits(line, event)), None):
                pairs[line.id] = found.id
    return pairs
