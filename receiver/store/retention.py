"""Removing what is old enough (retention): in parts, each a short transaction of its own.

A part is looked up first, without any lock, and then taken in one transaction together with how far that is (a
watermark), so that a kill at any instant leaves nothing half done. Whatever removes has the lock of one row, which is
not waited for: of any number of workers one removes at a time, and the others go on with something else.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from receiver.model import HeldBack, RetentionKind, Verdict
from receiver.store import feed, held_back, pagination
from receiver.store.bulk_insert import BulkInsert, insert_or_skip
from receiver.store.held_back import About
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import (
    Check,
    Delivery,
    FeedEntry,
    RetentionLeft,
    RetentionProgress,
    RetentionTurn,
    table_of,
)

_deliveries, _checks, _entries = (table_of(model) for model in (Delivery, Check, FeedEntry))
_turn, _progress, _left = (table_of(model) for model in (RetentionTurn, RetentionProgress, RetentionLeft))

FEED = 0
"""In the place of a source: of the feed as a whole."""

_insert_left = BulkInsert(
    _left,
    ("source_id", "kind", "place", "reason"),
    unique=["source_id", "kind", "place"],
    otherwise="reason = excluded.reason",
)


class Rule(NamedTuple):
    """What is to be removed of one source and kind: what came before a time (UTC)."""

    source_id: int
    kind: RetentionKind
    before: datetime
    since: datetime
    """When the source was added: nothing came before."""


class Progress(NamedTuple):
    """How far something was looked through; see `RetentionProgress`."""

    source_id: int
    kind: RetentionKind
    through: str
    left_through: str
    left_at: datetime | None
    removed: int
    stopped_by: HeldBack | None


@dataclass(frozen=True)
class Limits:
    """What holds back whatever the rule: see `receiver.store.held_back.reasons`."""

    asked: Collection[int]
    floor: int | None
    known_until: datetime
    """What bears a time beyond it (UTC) has it from a clock that was ahead: how old it is, is not known."""
    before: Mapping[int, datetime] = field(default_factory=dict)
    """Of the feed: before which time the entries of each source go; those of others never."""
    counts_only: bool = False
    """Whether nothing is removed: then a body that would go counts as gone."""


@dataclass(frozen=True)
class Part:
    """What one transaction is to do: remove some places, note others as held back, and go on behind `through`."""

    before: Progress
    through: str
    is_left: bool = False
    """Whether it looks once more at what was held back; then `through` is a place among that."""
    remove: Sequence[str] = ()
    left: Sequence[tuple[str, HeldBack]] = ()
    cleared: Sequence[str] = ()
    """What is held back no longer."""
    abouts: Sequence[About] = ()
    stopped_by: HeldBack | None = None
    is_last: bool = False
    """Whether nothing is left to look at behind it for now."""


class Taken(NamedTuple):
    """What a part came to: places that were removed, and those that are held back."""

    removed: int
    left: int
    is_last: bool


def place_of(number: int) -> str:
    """Return a number as a place: as text it sorts as the number does."""
    return f"{number:020d}"


def progress(connection: Connection, source_id: int, kind: RetentionKind) -> Progress:
    """Return how far something was looked through."""
    query = select(*columns_of(Progress, _progress)).where(*_is_of(source_id, kind))
    found = fetch_one(connection, Progress, query)
    return found or Progress(source_id, kind, "", "", None, 0, None)


def _is_of(source_id: int, kind: RetentionKind) -> tuple[Any, Any]:
    return _progress.c.source_id == source_id, _progress.c.kind == kind


def last_check(connection: Connection) -> str:
    """Return the place of the last check that there is.

    The next one may get the number behind it: SQLite counts on from what is left, and so does a copied database. Where
    the last ones were removed, numbers are used anew, and whoever went on from a removed one would pass checks over.
    """
    return place_of(connection.execute(select(func.coalesce(func.max(_checks.c.id), 0))).scalar_one())


def every_progress(connection: Connection) -> list[Progress]:
    """Return how far everything was looked through that ever was."""
    return fetch_all(connection, Progress, select(*columns_of(Progress, _progress)))


def left_numbers(connection: Connection) -> dict[tuple[int, RetentionKind], dict[HeldBack, int]]:
    """Return how many are held back of each source and kind, by the reason."""
    columns = (_left.c.source_id, _left.c.kind, _left.c.reason)
    found: dict[tuple[int, RetentionKind], dict[HeldBack, int]] = {}
    for source_id, kind, reason, number in connection.execute(select(*columns, func.count()).group_by(*columns)):
        found.setdefault((source_id, kind), {})[reason] = number
    return found


def looked_at(connection: Connection) -> datetime | None:
    """Return when retention was at work last, for all sources (UTC): it did a part, or nothing was left to do."""
    found: datetime | None = connection.execute(select(_turn.c.looked_at)).scalar_one()
    return found


def note_at_work(connection: Connection, now: datetime) -> None:
    """Write down that retention is at work, whether something is left to do or not."""
    connection.execute(update(_turn).values(looked_at=now))


def take(
    connection: Connection, part: Part, now: datetime, *, idle_since: datetime, asked: Collection[int]
) -> Taken | None:
    """Do what a part says, in the caller's transaction; none where another worker is at it, or has been.

    None too where a consumer, or a replay, has come to want entries of the feed meanwhile. See `held_back.floor` for
    `idle_since`, and `held_back.reasons` for `asked`.
    """
    if connection.execute(select(_turn.c.id).with_for_update(skip_locked=True, key_share=True)).first() is None:
        return None
    at = part.before
    if progress(connection, at.source_id, at.kind) != at:
        return None
    floors = _Floors.of(connection, idle_since)
    if at.kind == RetentionKind.FEED and _is_wanted(connection, part, floors):
        return None
    held = _held_since(connection, part, floors, asked)
    remove = [place for place in part.remove if place not in held]
    _REMOVES[at.kind](connection, remove)
    _note_left(connection, part, held)
    _advance(connection, part, len(remove), now)
    return Taken(len(remove), len(part.left) + len(held), part.is_last)


class _Floors(NamedTuple):
    """How far in the feed all have come by now that have to come further; none where there are none."""

    consumers: int | None
    replays: int | None

    @classmethod
    def of(cls, connection: Connection, idle_since: datetime) -> "_Floors":
        read, replayed = held_back.floor(connection, idle_since), held_back.replay_floor(connection)
        return cls(None if read is None else read.position, None if replayed is None else replayed.position)


def _is_wanted(connection: Connection, part: Part, floors: _Floors) -> bool:
    """Tell whether the feed may not begin as late as the part has it; what is held back lies before the beginning."""
    through = 0 if part.is_left else int(part.through)
    ends = [floor for floor in floors if floor is not None]
    return through > max(feed.removed(connection), min(ends, default=through))


def _held_since(connection: Connection, part: Part, floors: _Floors, asked: Collection[int]) -> dict[str, HeldBack]:
    """Return what is held back since the part was looked up.

    The lock of the turn keeps more holds, consumers and replays waiting; banks' words and exceptions wait for nothing.
    """
    removed = set(part.remove)
    abouts = [about for about in part.abouts if about.place in removed]
    is_checks = part.before.kind == RetentionKind.CHECKS
    held = held_back.reasons(connection, abouts, asked=asked, floor=None if is_checks else floors.consumers)
    if is_checks:
        return held | dict.fromkeys(held_back.checks_on_hold(connection, abouts), HeldBack.ON_HOLD)
    if part.before.kind == RetentionKind.FEED and floors.replays is not None:
        held |= dict.fromkeys((place for place in removed if int(place) > floors.replays), HeldBack.WAITING)
    return held


def _note_left(connection: Connection, part: Part, held: Mapping[str, HeldBack]) -> None:
    at = part.before
    cleared = [place for place in part.cleared if place not in held]
    if cleared:
        mine = (_left.c.source_id == at.source_id, _left.c.kind == at.kind)
        connection.execute(delete(_left).where(*mine, pagination.among(connection, _left.c.place, cleared)))
    left = [*part.left, *held.items()]
    rows = [(at.source_id, str(at.kind), place, str(reason)) for place, reason in sorted(left)]
    _insert_left.run(connection, rows)


def _advance(connection: Connection, part: Part, removed: int, now: datetime) -> None:
    at = part.before
    insert_or_skip(connection, _progress, ["source_id", "kind"], dict(at._asdict(), removed=0))
    values: dict[str, Any] = {"removed": at.removed + removed}
    if part.is_left:
        values |= {"left_through": part.through} | ({"left_at": now} if part.is_last else {})
    else:
        values |= {"through": part.through, "stopped_by": part.stopped_by}
    connection.execute(update(_progress).where(*_is_of(at.source_id, at.kind)).values(**values))
    if at.kind == RetentionKind.FEED and not part.is_left:
        feed.note_removed(connection, int(part.through))
    if at.kind == RetentionKind.CHECKS and removed:
        # Of whatever source: with the removal, so that no new check comes in between.
        last = last_check(connection)
        is_beyond = (_progress.c.kind == RetentionKind.CHECKS, _progress.c.through > last)
        connection.execute(update(_progress).where(*is_beyond).values(through=last))


def _remove_bodies(connection: Connection, places: Sequence[str]) -> None:
    if places:
        which = pagination.among(connection, _deliveries.c.id, places)
        connection.execute(update(_deliveries).where(which).values(body=None))


def _remove_headers(connection: Connection, places: Sequence[str]) -> None:
    if places:
        which = pagination.among(connection, _deliveries.c.id, places)
        connection.execute(update(_deliveries).where(which).values(headers={}))


def _remove_rejected(connection: Connection, places: Sequence[str]) -> None:
    if places:
        mine = select(_deliveries.c.id).where(
            pagination.among(connection, _deliveries.c.id, places), _deliveries.c.verdict == Verdict.REJECTED
        )
        # Those that another writer is at are left to it, as where they are bounded.
        free = mine.order_by(_deliveries.c.id).with_for_update(skip_locked=True).cte("free")
        connection.execute(delete(_deliveries).where(_deliveries.c.id.in_(select(free.c.id))))


def _remove_checks(connection: Connection, places: Sequence[str]) -> None:
    connection.execute(delete(_checks).where(_checks.c.id.in_([int(place) for place in places])))


def _remove_entries(connection: Connection, places: Sequence[str]) -> None:
    connection.execute(delete(_entries).where(_entries.c.position.in_([int(place) for place in places])))


_REMOVES = {
    RetentionKind.PAYLOAD: _remove_bodies,
    RetentionKind.HEADERS: _remove_headers,
    RetentionKind.REJECTED: _remove_rejected,
    RetentionKind.CHECKS: _remove_checks,
    RetentionKind.FEED: _remove_entries,
}
