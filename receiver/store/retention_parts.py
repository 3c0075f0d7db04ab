"""What is to be removed next (retention): what is old enough of each kind, and what of it is held back.

Everything is walked through in the order in which it came, from a watermark on, so that nothing is looked at twice but
what was held back. Nothing is locked or changed here: `receiver.store.retention` takes away what was found.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from receiver.model import HeldBack, RetentionKind, Verdict
from receiver.store import feed, held_back, pagination
from receiver.store.held_back import About
from receiver.store.records import EPOCH, columns_of, fetch_all, fetch_one, lowest_id
from receiver.store.retention import Limits, Part, Progress, Rule, last_check, place_of, progress
from receiver.store.tables import Check, Delivery, FeedEntry, RetentionLeft, SearchProgress, Subject, table_of

_deliveries, _checks, _entries, _subjects = (table_of(model) for model in (Delivery, Check, FeedEntry, Subject))
_left, _indexed = table_of(RetentionLeft), table_of(SearchProgress)

PART = 100
"""Rows that are looked at for one transaction: on SQLite callbacks wait for it, a few milliseconds."""

NEAR = 5000
"""Deliveries, of whatever source, among which those of one are looked for at once: a few milliseconds of reading."""


def look(connection: Connection, rule: Rule, limits: Limits, at: Progress) -> Part:
    """Return the next part behind `at`: what is old enough, and what of it is held back. It locks and changes nothing.

    `at` is how far it has come; somebody who only counts goes on from where each part ends.
    """
    return _LOOKS[rule.kind](connection, rule, limits, at)


def look_left(connection: Connection, rule: Rule, limits: Limits, at: Progress) -> Part:
    """Return the next part of what was held back, to see whether it still is."""
    mine = (_left.c.source_id == at.source_id, _left.c.kind == at.kind, _left.c.place > at.left_through)
    query = select(_left.c.place, _left.c.reason).where(*mine).order_by(_left.c.place).limit(PART)
    before: dict[str, HeldBack] = {row.place: row.reason for row in connection.execute(query)}
    places = list(before)
    abouts, why, gone = _RELOOKS[rule.kind](connection, rule, limits, places)
    remove = [place for place in places if place not in why and place not in gone]
    changed = [(place, reason) for place, reason in why.items() if before.get(place) != reason]
    is_last = len(places) < PART
    through = "" if is_last else places[-1]
    return Part(at, through, True, remove, changed, [*remove, *gone], abouts, at.stopped_by, is_last)


class _Arrived(NamedTuple):
    id: str
    source_id: int
    verdict: Verdict
    is_stored: bool


def _look_at_deliveries(connection: Connection, rule: Rule, limits: Limits, at: Progress) -> Part:
    through = _behind(rule, limits, at)
    end = lowest_id("dlv", rule.before)
    in_order = [_deliveries.c.id > through, _deliveries.c.id < end]
    if rule.kind == RetentionKind.HEADERS and not limits.counts_only:
        bodies = progress(connection, rule.source_id, RetentionKind.PAYLOAD)
        in_order.append(_deliveries.c.id <= bodies.through)
    # Those of all sources, by their ids alone, so that it ends soon however few of them are the source's own.
    near = select(_deliveries.c.id).where(*in_order).order_by(_deliveries.c.id).limit(NEAR).subquery()
    number, farthest = connection.execute(select(func.count(), func.max(near.c.id))).one()
    own = _own_among(connection, rule.source_id, [*in_order, _deliveries.c.id <= farthest]) if number else []
    is_cut = len(own) == PART
    abouts, why = _why_deliveries(connection, rule, limits, own)
    stop = _first_unread(connection, abouts, why, limits)
    looked_at = [each.id for each in own if stop is None or each.id < stop]
    remove, left = _sorted_out([each.id for each in own if _is_due(each, rule, why)], why, stop)
    is_through = stop is None and not is_cut
    last = farthest if is_through and number else looked_at[-1] if looked_at else through
    is_last = stop is not None or (is_through and number < NEAR)
    return Part(at, last, False, remove, left, (), abouts, HeldBack.UNREAD if stop else None, is_last)


def _behind(rule: Rule, limits: Limits, at: Progress) -> str:
    """Return the id behind which to go on: what a clock that was ahead has put into the future is set back."""
    ahead = lowest_id("dlv", limits.known_until)
    return next(
        each for each in (at.through, lowest_id("dlv", rule.since), lowest_id("dlv", EPOCH)) if "" < each < ahead
    )


def _own_among(connection: Connection, source_id: int, where: Sequence[ColumnElement[bool]]) -> list[_Arrived]:
    """Return the first `PART` of a source's deliveries of those in a stretch that is walked in the order of ids."""
    columns = columns_of(_Arrived, _deliveries, is_stored=_deliveries.c.body.is_not(None))
    query = select(*columns).where(*where, *pagination.beside(_deliveries.c.source_id, [source_id], 0))
    return fetch_all(connection, _Arrived, query.order_by(_deliveries.c.id).limit(PART))


def _is_due(each: _Arrived, rule: Rule, why: Mapping[str, HeldBack]) -> bool:
    return rule.kind == RetentionKind.HEADERS or each.is_stored or each.id in why


def _why_deliveries(
    connection: Connection, rule: Rule, limits: Limits, came: Sequence[_Arrived]
) -> tuple[list[About], dict[str, HeldBack]]:
    """Return what deliveries are about, and why some of them are held back."""
    is_body = rule.kind == RetentionKind.PAYLOAD
    genuine = [each for each in came if each.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE)]
    looked_up = [each.id for each in genuine if each.is_stored or not is_body]
    abouts = held_back.of_deliveries(connection, looked_up) if looked_up else []
    why = {each.id: HeldBack.WAITING for each in came if each.verdict in (Verdict.LATE, Verdict.REJECTED)}
    if not is_body and not limits.counts_only:
        why |= {each.id: HeldBack.WAITING for each in genuine if each.is_stored}
    return abouts, why | held_back.reasons(connection, abouts, asked=limits.asked, floor=limits.floor)


def _first_unread(
    connection: Connection, abouts: Sequence[About], why: Mapping[str, HeldBack], limits: Limits
) -> str | None:
    """Return the first delivery of which not even the first entry was read: all behind it will be unread too."""
    unread = {about.event_id: about.place for about in abouts if why.get(about.place) == HeldBack.UNREAD}
    if not unread or limits.floor is None:
        return None
    event_ids = [event_id for event_id in unread if event_id is not None]
    query = (
        select(_entries.c.event_id)
        .where(pagination.among(connection, _entries.c.event_id, event_ids))
        .group_by(_entries.c.event_id)
        .having(func.min(_entries.c.position) > limits.floor)
    )
    return min((unread[event_id] for event_id in connection.execute(query).scalars()), default=None)


def _sorted_out(
    places: Sequence[str], why: Mapping[str, HeldBack], stop: str | None
) -> tuple[list[str], list[tuple[str, HeldBack]]]:
    """Return which places go, and which are held back and why, of those before `stop`."""
    looked_at = [place for place in places if stop is None or place < stop]
    return [place for place in looked_at if place not in why], [(p, why[p]) for p in looked_at if p in why]


Relook = tuple[Sequence[About], Mapping[str, HeldBack], Sequence[str]]
"""What places are about, why some of them are held back, and which of them there are not any more."""


def _relook_at_deliveries(connection: Connection, rule: Rule, limits: Limits, places: Sequence[str]) -> Relook:
    columns = columns_of(_Arrived, _deliveries, is_stored=_deliveries.c.body.is_not(None))
    query = select(*columns).where(pagination.among(connection, _deliveries.c.id, places))
    came = fetch_all(connection, _Arrived, query) if places else []
    abouts, why = _why_deliveries(connection, rule, limits, came)
    end = lowest_id("dlv", rule.before)
    young = {each.id: HeldBack.WAITING for each in came if each.id >= end}
    return abouts, young | why, sorted(set(places) - {each.id for each in came})


class _Made(NamedTuple):
    id: int
    at: datetime
    source_id: int
    kind: str
    subject: str
    due_at: datetime | None


_MADE = select(*columns_of(_Made, _checks, _subjects, id=_checks.c.id, kind=_subjects.c.kind)).join_from(
    _checks, _subjects, _subjects.c.id == _checks.c.subject_id
)


def _look_at_checks(connection: Connection, rule: Rule, limits: Limits, at: Progress) -> Part:
    # What is beyond was left so by an earlier release, or by a copy of one: nothing says which were looked at.
    begins = at.through if at.through <= last_check(connection) else place_of(0)
    query = _MADE.where(_checks.c.id > int(begins or 0)).order_by(_checks.c.id).limit(PART)
    made = fetch_all(connection, _Made, query)
    # They are nearly in the order of their times, but for what a clock that was ahead has made: that is held back.
    young = (n for n, each in enumerate(made) if rule.before <= each.at <= limits.known_until)
    looked_at = made[: next(young, len(made))]
    own = [each for each in looked_at if each.source_id == rule.source_id]
    abouts, why = _why_checks(connection, limits, own)
    why |= {place_of(each.id): HeldBack.WAITING for each in own if each.at > limits.known_until}
    remove, left = _sorted_out([place_of(each.id) for each in own], why, None)
    through = place_of(looked_at[-1].id) if looked_at else begins
    return Part(at, through, False, remove, left, (), abouts, None, len(looked_at) < PART)


def _why_checks(
    connection: Connection, limits: Limits, made: Sequence[_Made]
) -> tuple[list[About], dict[str, HeldBack]]:
    abouts = [About(place_of(each.id), each.source_id, None, str(each.kind), each.subject) for each in made]
    why = held_back.reasons(connection, abouts, asked=limits.asked, floor=None)
    for each in made:
        if each.due_at is not None and each.source_id in limits.asked:
            why.setdefault(place_of(each.id), HeldBack.NOT_FINAL)
    return abouts, why | dict.fromkeys(held_back.checks_on_hold(connection, abouts), HeldBack.ON_HOLD)


def _relook_at_checks(connection: Connection, rule: Rule, limits: Limits, places: Sequence[str]) -> Relook:
    query = _MADE.where(_checks.c.id.in_([int(place) for place in places]))
    made = fetch_all(connection, _Made, query) if places else []
    abouts, why = _why_checks(connection, limits, made)
    young = {place_of(each.id): HeldBack.WAITING for each in made if each.at >= rule.before}
    return abouts, young | why, sorted(set(places) - {place_of(each.id) for each in made})


class _Refused(NamedTuple):
    id: str
    reason: str | None
    likely: bool
    proven: bool


def _look_at_rejected(connection: Connection, rule: Rule, _limits: Limits, at: Progress) -> Part:
    """Look through them all each time: they are bounded in number."""
    is_of = pagination.beside(_deliveries.c.source_id, [rule.source_id], 0)
    query = (
        select(*columns_of(_Refused, _deliveries))
        .where(_deliveries.c.verdict == Verdict.REJECTED, *is_of)
        .where(_deliveries.c.id > at.through, _deliveries.c.id < lowest_id("dlv", rule.before))
    )
    refused = fetch_all(connection, _Refused, query.order_by(_deliveries.c.id).limit(PART))
    open_ = held_back.open_reasons(connection, rule.source_id)
    why = {r.id: HeldBack.EXCEPTION for r in refused if (r.likely or r.proven) and (r.reason or "unknown") in open_}
    remove, _ = _sorted_out([each.id for each in refused], why, None)
    is_last = len(refused) < PART
    through = "" if is_last else refused[-1].id
    return Part(at, through, False, remove, (), (), (), HeldBack.EXCEPTION if why else None, is_last)


class _Entry(NamedTuple):
    position: int
    source_id: int
    written_at: datetime
    event_id: str | None
    subject: str | None


# A copy is as old as its replay, not as its original.
_ENTRY = select(*columns_of(_Entry, _entries, written_at=feed.written_at))


def _look_at_feed(connection: Connection, _rule: Rule, limits: Limits, at: Progress) -> Part:
    begins = max(int(at.through or 0), feed.removed(connection))
    last, stopped_by = _feed_ends(connection, limits)
    query = _ENTRY.where(_entries.c.position > begins).order_by(_entries.c.position).limit(PART)
    found = fetch_all(connection, _Entry, query)
    old = found[: _how_many_old(connection, found, limits)]
    entries = [each for each in old if each.position <= last]
    abouts, why = _why_entries(connection, limits, entries)
    why |= {place_of(each.position): HeldBack.WAITING for each in entries if _is_ahead(each, limits)}
    remove, left = _sorted_out([place_of(each.position) for each in entries], why, None)
    through = place_of(entries[-1].position if entries else begins)
    is_stopped = len(entries) < len(old)
    return Part(at, through, False, remove, left, (), abouts, stopped_by if is_stopped else None, len(entries) < PART)


def _how_many_old(connection: Connection, found: Sequence[_Entry], limits: Limits) -> int:
    """Return how many from the first on are old enough, those that a clock was ahead for among them.

    The last of these wait for the next entry to be old enough: readers begin behind what is passed over.
    """
    old = 0
    for number, each in enumerate(found, 1):
        if _is_old(each, limits):
            old = number
        elif not _is_ahead(each, limits):
            return old
    if old < len(found) == PART:
        is_next = (_entries.c.position > found[-1].position, feed.written_at <= limits.known_until)
        query = _ENTRY.where(*is_next).order_by(_entries.c.position).limit(1)
        behind = fetch_one(connection, _Entry, query)
        return len(found) if behind is not None and _is_old(behind, limits) else old
    return old


def _is_old(entry: _Entry, limits: Limits) -> bool:
    before = limits.before.get(entry.source_id)
    return before is not None and entry.written_at < before


def _is_ahead(entry: _Entry, limits: Limits) -> bool:
    return entry.source_id in limits.before and entry.written_at > limits.known_until


def _feed_ends(connection: Connection, limits: Limits) -> tuple[int, HeldBack]:
    """Return the last position that may be removed whatever its age, and why no further one may."""
    indexed = connection.execute(select(_indexed.c.through, _indexed.c.below)).one()
    ends = [(indexed.through if indexed.below <= 1 else 0, HeldBack.WAITING)]
    if limits.floor is not None:
        ends.append((limits.floor, HeldBack.UNREAD))
    replayed = held_back.replay_floor(connection)
    if replayed is not None:
        ends.append((replayed.position, HeldBack.WAITING))
    return min(ends)


def _why_entries(
    connection: Connection, limits: Limits, entries: Sequence[_Entry]
) -> tuple[list[About], dict[str, HeldBack]]:
    kinds = held_back.kinds_of(connection, sorted({each.event_id for each in entries if each.event_id}))
    abouts = []
    for each in entries:
        kind, subject = kinds.get(each.event_id or "", ("payment", each.subject))
        abouts.append(About(place_of(each.position), each.source_id, each.event_id, kind, subject))
    return abouts, held_back.reasons(connection, abouts, asked=limits.asked, floor=limits.floor)


def _relook_at_feed(connection: Connection, _rule: Rule, limits: Limits, places: Sequence[str]) -> Relook:
    query = _ENTRY.where(_entries.c.position.in_([int(place) for place in places]))
    entries = fetch_all(connection, _Entry, query) if places else []
    abouts, why = _why_entries(connection, limits, entries)
    replayed = held_back.replay_floor(connection)
    through = None if replayed is None else replayed.position
    stays = [each for each in entries if not _is_old(each, limits) or (through is not None and each.position > through)]
    young = {place_of(each.position): HeldBack.WAITING for each in stays}
    return abouts, young | why, sorted(set(places) - {place_of(each.position) for each in entries})


_LOOKS = {
    RetentionKind.PAYLOAD: _look_at_deliveries,
    RetentionKind.HEADERS: _look_at_deliveries,
    RetentionKind.REJECTED: _look_at_rejected,
    RetentionKind.CHECKS: _look_at_checks,
    RetentionKind.FEED: _look_at_feed,
}


def _no_relook(_connection: Connection, _rule: Rule, _limits: Limits, places: Sequence[str]) -> Relook:
    return (), {}, places


_RELOOKS = {
    RetentionKind.PAYLOAD: _relook_at_deliveries,
    RetentionKind.HEADERS: _relook_at_deliveries,
    RetentionKind.REJECTED: _no_relook,
    RetentionKind.CHECKS: _relook_at_checks,
    RetentionKind.FEED: _relook_at_feed,
}
