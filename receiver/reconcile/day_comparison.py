"""One business day: the bank's list held against our events, line by line, in batches, without asking the bank."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Context, Decimal
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from receiver.banks.business_days import Window
from receiver.model import Agreement, DayCategory, Status
from receiver.projection.projector import catch_up
from receiver.store import day_sides, joining, particulars
from receiver.store.database import Database
from receiver.store.day_lines import Chunk, DayLine, Sections
from receiver.store.day_sides import AboutPayments, BankSide, Claimed, EventWithFacts, OurSide, PaymentRecord, SameEvent
from receiver.store.joining import Candidate, Parts, worth
from receiver.store.thread_pool import give_way

NOT_LISTED = "no list of the bank has it"

EXACT = Context(prec=80)
"""No sum of amounts of 30 digits loses one."""


@dataclass
class _Count:
    """How many lines of a category have a currency, and their sums: the bank's, and ours."""

    number: int = 0
    bank: Decimal = Decimal(0)
    ours: Decimal = Decimal(0)


@dataclass
class Compared:
    """A day as it is now. Its lines are compressed; so a day of any length takes a few megabytes."""

    chunks: Sequence[Chunk] = ()
    content: Mapping[str, Any] = field(default_factory=dict)
    """What the header of a version says of it."""
    differing: Mapping[str, DayLine] = field(default_factory=dict)
    """Lines whose amount differs, by the event."""


def compare(database: Database, source_id: int, day: date, window: Window, late_from: datetime) -> Compared:
    """Hold the bank's list of a day against our events; `late_from` is when a callback counts as late.

    Each batch is read on its own: what changes meanwhile is in it or not, and is found when the day is looked at next.

    Raises:
        StoreUnavailable
    """
    catch_up(database)
    tally = _Tally(late_from)
    for line in _listed(database, source_id, day):
        tally.add(line)
    for line in _ours_alone(database, source_id, window):
        tally.add(line)
    return tally.end(window)


class _Tally:
    """Takes the lines of a day as they come."""

    def __init__(self, late_from: datetime) -> None:
        self._late_from = late_from
        self._sections = Sections()
        self._counts: dict[tuple[DayCategory, str], _Count] = {}
        self._seconds = array("d")
        self._never = self._late = self._untimed = 0
        self._differing: dict[str, DayLine] = {}

    def add(self, line: DayLine) -> None:
        self._sections.add(line)
        self._count(line.category, line.currency or line.our_currency, line)
        if line.category != DayCategory.OURS_ALONE:
            self._time(line)
        if line.category == DayCategory.AMOUNT_DIFFERS and line.event_id is not None:
            self._differing[line.event_id] = line

    def _count(self, category: DayCategory, currency: str | None, line: DayLine) -> None:
        count = self._counts.setdefault((category, (currency or "").upper()), _Count())
        count.number += 1
        count.bank = EXACT.add(count.bank, worth(line.amount) or Decimal(0))
        if not joining.differ_in_currency(line.our_currency, currency):
            count.ours = EXACT.add(count.ours, worth(line.our_amount) or Decimal(0))

    def _time(self, line: DayLine) -> None:
        if line.received_at is None:
            self._never += 1
            return
        self._late += line.received_at >= self._late_from
        if line.detection_seconds is None:
            self._untimed += 1
        else:
            self._seconds.append(line.detection_seconds)

    def end(self, window: Window) -> Compared:
        sections = self._sections.end()
        counts = sorted(self._counts.items(), key=lambda each: (list(DayCategory).index(each[0][0]), each[0][1]))
        content = {
            "window": [window.begin.isoformat(), window.end.isoformat()],
            "numbers": [
                [str(category), currency or None, count.number, f"{count.bank:f}", f"{count.ours:f}"]
                for (category, currency), count in counts
            ],
            "detection": self._detection(),
            "sections": [[str(section.category), section.number, section.sha256] for section in sections],
        }
        return Compared(self._sections.chunks, content, self._differing)

    def _detection(self) -> dict[str, Any]:
        ordered = sorted(self._seconds)
        return {
            "p50_seconds": _rank(ordered, 50),
            "p95_seconds": _rank(ordered, 95),
            "latest_seconds": _rank(ordered, 100),
            "timed": len(ordered),
            "untimed": self._untimed,
            "late": self._late,
            "never": self._never,
        }


def _rank(ordered: Sequence[float], percent: int) -> float | None:
    """Return a percentile by its nearest rank; none where there is nothing."""
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1] if ordered else None


# What the bank's list has


def _listed(database: Database, source_id: int, day: date) -> Iterator[DayLine]:
    behind = 0
    while True:
        with database.read() as connection:
            lines = day_sides.lines(connection, source_id, day, behind=behind)
            if not lines:
                return
            event_ids = {line.event_id for line in lines if line.event_id}
            best = _best_of_each(day_sides.pointing_at(connection, day, event_ids)) if event_ids else {}
            events = day_sides.events(connection, event_ids) if event_ids else {}
            of_sweep = [event.id for event in events.values() if event.is_of_sweep]
            came = day_sides.joined_by_callback(connection, of_sweep) if of_sweep else {}
            beside = [_Beside(line, events.get(line.event_id or ""), came.get(line.event_id or "")) for line in lines]
            alone = {each.payment_id for each in beside if each.callback_at is None and each.payment_id}
            pairs = _pairs(day_sides.about_payments(connection, source_id, alone)) if alone else {}
            names = {each.payment_id for each in beside if each.payment_id}
            payments = day_sides.payments(connection, source_id, names) if names else {}
        for each in beside:
            if best.get(each.line.event_id or "", each.line.id) != each.line.id:
                continue
            if each.callback_at is None and each.line.id in pairs:
                each.pair_with(pairs[each.line.id])
            yield each.judged(payments.get(each.payment_id or ""))
        behind = lines[-1].id
        give_way()


def _best_of_each(lines: Sequence[SameEvent]) -> dict[str, int]:
    """Return, by the event, the number of the line that counts where several lists of a day tell the same.

    It is the one that says most of the status, else the first one.
    """
    ranked = sorted(lines, key=lambda line: (line.status.is_final, line.status != Status.UNKNOWN, -line.id))
    return {line.event_id: line.id for line in ranked}


def _pairs(found: AboutPayments) -> dict[int, OurSide]:
    """Return, by the line's number, the callback that tells of the same as a line for which none had come by its type.

    It has the line's payment, account and direction, as far as these are known. It is one of the type that the line has
    by now, where the sweep had found it at an earlier step (a payment without funds that was rejected then); else one
    that tells of another amount, of several the nearest. Each callback is one line's, and that of the lines of other
    lists that have its event.
    """
    loose: dict[str | None, list[Candidate]] = {}
    for event, facts in found.loose:
        parts = joining.of_event(event.amount, event.currency, facts)
        loose.setdefault(event.payment_id, []).append(Candidate(event.id, event.type, parts))
    ranked = sorted(
        (differs, _distance(parts, each.parts), line.id, each.id)
        for line, parts in ((line, _parts(line)) for line in found.alone)
        for each in loose.get(line.payment_id, ())
        if (differs := joining.is_of_other_worth(each, line.type, parts))
        or (line.event_id is not None and line.type == each.type and joining.is_of(each, line.type, parts))
    )
    movements = {line.id: line.event_id or line.id for line in found.alone}
    events = {each.event.id: each.event for each in found.loose}
    pairs: dict[str | int, OurSide] = {}
    for _, _, line_id, event_id in ranked:
        if movements[line_id] not in pairs and event_id in events:
            pairs[movements[line_id]] = events.pop(event_id)
    return {line_id: pairs[movement] for line_id, movement in movements.items() if movement in pairs}


def _parts(line: BankSide) -> Parts:
    return joining.of_line(line.account, line.direction, line.amount, line.currency)


def _distance(one: Parts, other: Parts) -> Decimal:
    return EXACT.subtract(one.amount or Decimal(0), other.amount or Decimal(0)).copy_abs()


@dataclass
class _Beside:
    """A line of the bank's list beside the event that tells the same; `joined_at` is when a callback joined it."""

    line: BankSide
    event: OurSide | None
    joined_at: datetime | None

    @property
    def payment_id(self) -> str | None:
        return self.line.payment_id or (self.event.payment_id if self.event else None)

    @property
    def callback_at(self) -> datetime | None:
        """When the callback came; none where none did."""
        return self.joined_at if self.event is None or self.event.is_of_sweep else self.event.received_at

    @property
    def is_of_other_worth(self) -> bool:
        """Whether the event, which has the line's account and direction, has not its amount or currency."""
        if self.event is None or (self.event.amount, self.event.currency) == (self.line.amount, self.line.currency):
            return False
        ours = Candidate(self.event.id, self.event.type, joining.of_event(self.event.amount, self.event.currency, {}))
        return joining.is_of_other_worth(ours, self.line.type, _parts(self.line))

    def pair_with(self, event: OurSide) -> None:
        self.event = event

    def judged(self, payment: PaymentRecord | None) -> DayLine:
        """Return the line of the day."""
        line, event = self.line, self.event
        claimed = (payment and payment.claimed_status) or (event.claimed_status if event else None)
        made = DayLine(
            DayCategory.AGREED,
            list_name=line.list_name,
            type=line.type,
            payment_id=self.payment_id,
            reference=line.reference,
            account=line.account,
            direction=line.direction,
            amount=line.amount,
            currency=line.currency,
            bank_status=line.bank_status,
            status=line.status,
            at=line.at if line.named_day is None else None,
            event_id=event.id if event else None,
            our_amount=event.amount if event else None,
            our_currency=event.currency if event else None,
            claimed_status=claimed,
            our_status=payment.status if payment else None,
            agreement=payment.agreement if payment else None,
            received_at=self.callback_at,
        )
        if made.received_at is not None and made.at is not None:
            made.detection_seconds = round(max((made.received_at - made.at).total_seconds(), 0.0), 3)
        made.category, made.why = self._category(made)
        return made

    def _category(self, made: DayLine) -> tuple[DayCategory, str | None]:
        if self.event is None:
            return DayCategory.BANK_ALONE, "no event tells of it yet"
        if self.is_of_other_worth:
            ours = f"{self.event.amount} {self.event.currency or ''}".strip()
            theirs = f"{self.line.amount} {self.line.currency or ''}".strip()
            return DayCategory.AMOUNT_DIFFERS, f"a callback tells of {ours}, and the bank's list has {theirs}"
        if (why := _status_differs(made)) is not None:
            return DayCategory.STATUS_DIFFERS, why
        if made.received_at is None:
            return DayCategory.RECOVERED, "no callback came: the sweep found it"
        if not _is_final(made.status) and not _is_final(made.our_status):
            return DayCategory.NOT_FINAL, "the bank has not said yet what becomes of it"
        return DayCategory.AGREED, None


def _is_final(status: Status | None) -> bool:
    return status is not None and status.is_final


def _status_differs(made: DayLine) -> str | None:
    """Say where what a callback claims, or a check has found, is another final state than the bank's word."""
    if made.agreement == Agreement.CONTRADICTED:
        return f"a callback claims {made.claimed_status}, and the bank answers {made.our_status}"
    if not _is_final(made.status):
        return None
    if _is_final(made.our_status):
        is_other = made.our_status != made.status
        return f"a check found {made.our_status}, and the bank's list has {made.status}" if is_other else None
    if _is_final(made.claimed_status) and made.claimed_status != made.status:
        return f"a callback claims {made.claimed_status}, and the bank's list has {made.status}"
    return None


# What we alone have


def _ours_alone(database: Database, source_id: int, window: Window) -> Iterator[DayLine]:
    """Yield what is dated on the day and no list of the bank has: payments, and movements of those that it has.

    Of a payment that is known by its reference alone that is so once the bank has said that it does not know it.
    """
    behind = ""
    while True:
        with database.read() as connection:
            found = day_sides.claimed(connection, source_id, window.begin, window.end, behind=behind)
            if not found:
                return
            dated = [each for each in found if each.dated in window]
            names = {each.payment_id for each in dated if each.payment_id is not None}
            missing = day_sides.on_no_list(connection, source_id, names) if names else {}
            whole = {each.id for each in dated if missing.get(each.payment_id or "") == each.id}
            strays = _strays(connection, source_id, [each for each in dated if each.payment_id not in missing])
            references = {each.subject for each in dated if each.payment_id is None}
            denied = day_sides.denied(connection, source_id, references) if references else {}
            here = {*whole, *strays, *(each.id for each in dated if each.id in denied)}
            alone = day_sides.with_facts(connection, here) if here else []
            names = {each.event.payment_id or "" for each in alone}
            payments = day_sides.payments(connection, source_id, names) if alone else {}
        for each in alone:
            known = denied.get(each.event.id) or payments.get(each.event.payment_id or "")
            yield _alone(each, known, is_stray=each.event.id in strays)
        behind = found[-1].id
        give_way()


def _strays(connection: Connection, source_id: int, claims: Sequence[Claimed]) -> set[str]:
    """Return those claims about payments of the bank's list, by the events' ids, that agree with no line of it.

    They name another account, direction, amount or currency than each line of their payment, and than each event that a
    line has, if only as the one whose amount differs. Of several that tell the same it is the first one.
    """
    payment_ids = day_sides.loose(connection, claims)
    if not payment_ids:
        return set()
    about = day_sides.about_payments(connection, source_id, payment_ids)
    known: dict[str | None, list[tuple[str, Parts]]] = {payment_id: [] for payment_id in payment_ids}
    candidates: dict[str | None, list[Candidate]] = {payment_id: [] for payment_id in payment_ids}
    for line in (*about.alone, *about.others):
        known[line.payment_id].append((line.type, _parts(line)))
    having_a_line = {each.event.id for each in about.joined} | {event.id for event in _pairs(about).values()}
    for event, facts in (*about.joined, *about.loose):
        parts = joining.of_event(event.amount, event.currency, facts)
        if event.id not in having_a_line:
            candidates[event.payment_id].append(Candidate(event.id, event.type, parts))
        elif parts.amount is not None:
            known[event.payment_id].append((event.type, parts))
    found = (joining.strays(candidates[payment_id], known[payment_id]) for payment_id in payment_ids)
    return {each.id for each in claims}.intersection(chain.from_iterable(found))


def _alone(alone: EventWithFacts, payment: PaymentRecord | None, *, is_stray: bool) -> DayLine:
    event, facts = alone.event, particulars.of_facts(alone.facts)
    return DayLine(
        DayCategory.OURS_ALONE,
        type=event.type,
        payment_id=event.payment_id,
        reference=facts["reference"],
        account=facts["account"],
        direction=facts["direction"],
        event_id=event.id,
        our_amount=event.amount,
        our_currency=event.currency,
        claimed_status=(payment and payment.claimed_status) or event.claimed_status,
        our_status=payment.status if payment else None,
        agreement=payment.agreement if payment else None,
        received_at=event.received_at,
        why="the bank's list has the payment, and nothing that agrees with this" if is_stray else NOT_LISTED,
    )
