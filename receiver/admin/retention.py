"""Retention, for people: how it stands, what holds things back, and a run on demand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from receiver.admin.audit import note
from receiver.admin.names import Names
from receiver.model import HeldBack, NotPossible, RetentionKind
from receiver.projection.projector import index_all
from receiver.retention import policy
from receiver.retention.run import Run, Step
from receiver.runtime import Runtime
from receiver.store import feed, held_back, holds, retention, sources
from receiver.store.held_back import ConsumerFloor, ReplayFloor
from receiver.store.retention import FEED

TURN_SECONDS = 0.1
"""How long to wait where another one removes just now."""


@dataclass(frozen=True)
class Standing:
    """How retention stands for one source and kind.

    Entries of the feed go in their order, whatever their source: a source has days for them, and the feed the rest.
    """

    source: str
    """Its name; empty for the feed as a whole."""
    kind: RetentionKind
    days: int | None
    """For how long it is stored; 0 for ever, none of the feed as a whole."""
    removed: int | None = None
    """How many were removed so far; none of a source's entries in the feed."""
    held_back: Mapping[HeldBack, int] = field(default_factory=dict)
    """How many that are old enough are held back, by the reason."""
    stopped_by: HeldBack | None = None
    """Why it goes no further for now, where it is not for the age."""


@dataclass(frozen=True)
class Status:
    """How retention stands."""

    looked_at: datetime | None
    """When it was at work last (UTC): it removed a part, or nothing was left to remove."""
    standings: Sequence[Standing]
    slowest: ConsumerFloor | None
    """The consumer that is the furthest behind; what it has not acknowledged is not removed."""
    replay: ReplayFloor | None
    """The replay that is the furthest behind among those that are not over; what it may still send is not removed."""
    idle: Sequence[str]
    """Consumers that have done nothing for so long that they hold nothing back."""
    on_hold: int
    """How many events are on hold."""
    feed_begins_behind: int
    """Entries of the feed up to this position were removed."""
    feed_begins_at: datetime | None
    """The time of the oldest entry that is stored (UTC)."""


def status(runtime: Runtime) -> Status:
    """Return how retention stands, of everything.

    Raises:
        StoreUnavailable
    """
    now, settings = runtime.clock(), runtime.settings
    with runtime.database.read() as connection:
        known = sources.shown(connection)
        came = {(each.source_id, each.kind): each for each in retention.every_progress(connection)}
        left = retention.left_numbers(connection)
        since = policy.idle_since(settings, now)

        def so_far(source_id: int, kind: RetentionKind) -> tuple[int, Mapping[HeldBack, int], HeldBack | None]:
            at, held = came.get((source_id, kind)), left.get((source_id, kind), {})
            return (at.removed, held, at.stopped_by) if at else (0, held, None)

        standings = [
            Standing(source.name, kind, policy.days(settings, source, kind), *of_its_own)
            for kind in policy.ORDER
            for source in known
            for of_its_own in [() if kind == RetentionKind.FEED else so_far(source.id, kind)]
        ]
        if known:
            standings.append(Standing("", RetentionKind.FEED, None, *so_far(FEED, RetentionKind.FEED)))
        return Status(
            looked_at=retention.looked_at(connection),
            standings=standings,
            slowest=held_back.floor(connection, since),
            replay=held_back.replay_floor(connection),
            idle=held_back.idle_consumers(connection, since),
            on_hold=holds.number(connection),
            feed_begins_behind=feed.removed(connection),
            feed_begins_at=feed.oldest_time(connection),
        )


def run(runtime: Runtime, who: str, names: Sequence[str] = (), *, counts_only: bool = False) -> Iterator[Step]:
    """Remove what is due now, or only count it, part by part; audited as `retention.run` before anything is removed.

    `names` are the sources whose own things are removed; none for all, and the feed. Where a worker removes at the same
    time the two take turns.

    Raises:
        NameUnknown
        NotPossible: the clock was set meanwhile; what was removed until then is gone.
        StoreUnavailable
    """
    Names(runtime.database).check_all("source", names)
    # What nobody has looked at yet has no place in the feed, and so was read by nobody.
    index_all(runtime.database)
    if not counts_only:
        note(runtime, who, "retention.run", {"sources": list(names)})
    made = Run(runtime, runtime.clock(), names, counts_only, looks_at_left=True)
    yield from made.steps()
    while made.is_busy:
        made.rest(TURN_SECONDS)
        made = replace(made, looks_at_left=False)
        yield from made.steps()
    if made.is_clock_set:
        raise NotPossible(
            "this machine's clock was set while retention was at work: it may have stopped half-way; run it anew"
        )
