"""Deliveries: reading them, and storing those that were rejected, within bounds (retention).

Rejected deliveries are stored for staff, so that a flood can neither fill the disk nor hide what matters. Three shares
are bounded apart: deliveries whose signature was right (only the bank can cause these), those that look like the
bank's (well-formed, from an address that is allowed), and all others. A full share loses the oldest of the network that
has the most rows, so a flood drives out its own; networks from which genuine deliveries came of late come last.
"""

import heapq
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, literal_column, select, update

from receiver.model import Verdict
from receiver.signing import addresses
from receiver.store import events, pagination, sources
from receiver.store.records import NewDelivery, columns_of, fetch_all, fetch_one, is_cut, lowest_id, shortened
from receiver.store.tables import Delivery, Event, Source, table_of

_deliveries, _events, _sources = (table_of(model) for model in (Delivery, Event, Source))

DETAIL_CHARACTERS = 300

DROPPED_AT_ONCE = 10
"""More than one, so that what several writers at once, or a lowered setting, have left over is caught up with."""

COUNTED_EACH = 100
"""Rows that are counted for each that is written, on average: a share of more is counted at some of the writes only."""

SENDERS_FROM = 20
"""The latest events of a source, whose senders' networks are the bank's own."""

# As text, so that any plan goes by an index over the rejected ones.
_is_rejected = _deliveries.c.verdict == literal_column(f"'{Verdict.REJECTED}'")
_has_no_event = _deliveries.c.verdict.in_([literal_column(f"'{each}'") for each in (Verdict.DUPLICATE, Verdict.LATE)])

_MILLISECOND = timedelta(milliseconds=1)


def _of_source(source_id: int) -> list[ColumnElement[bool]]:
    """Beside a time or a verdict, lest SQLite goes through all that ever came from the source."""
    return pagination.beside(_deliveries.c.source_id, [source_id], 0)


class DeliveryRecord(NamedTuple):
    """One HTTP request as it was stored; `source` is the source's name, times are UTC."""

    id: str
    source_id: int
    source: str
    received_at: datetime
    verdict: Verdict
    reason: str | None
    detail: str | None
    proven: bool
    peer: str
    path: str
    channel: str | None
    headers: dict[str, str]
    signed_at: datetime | None
    proof_key: str | None
    body: bytes | None
    """Free of content codings, unless it was refused by what is looked at before they are undone; cut where rejected,
    none where the same bytes are stored with another delivery."""
    body_bytes: int
    body_sha256: str

    @property
    def has_cut_headers(self) -> bool:
        """Whether of a header only the beginning was stored, or some were left out."""
        return any(is_cut(name) or is_cut(value) for name, value in self.headers.items())

    @property
    def has_cut_path(self) -> bool:
        """Whether of its path or channel only the beginning was stored."""
        return is_cut(self.path) or is_cut(self.channel)


def _all() -> Select[Any]:
    columns = columns_of(DeliveryRecord, _deliveries, source=_sources.c.name)
    return select(*columns).join_from(_deliveries, _sources, _sources.c.id == _deliveries.c.source_id)


def find(connection: Connection, delivery_id: str) -> DeliveryRecord | None:
    """Return one delivery, whatever became of it."""
    return fetch_one(connection, DeliveryRecord, _all().where(_deliveries.c.id == delivery_id))


def body_of(connection: Connection, row: DeliveryRecord) -> bytes | None:
    """Return a delivery's body; that of a duplicate is stored with the event that it told first, where they are equal.

    None where it is not stored.
    """
    if row.body is not None:
        return row.body
    for event_id in events.ids_of_delivery(connection, row.id):
        event = events.find(connection, event_id)
        if event is not None and event.payload_sha256 == row.body_sha256:
            return events.raw(connection, event_id)
    return None


class Outline(NamedTuple):
    """When a delivery came (UTC), how large it was, and the types of the events that it told first."""

    received_at: datetime
    verdict: Verdict
    body_bytes: int
    types: tuple[str, ...]


def outlines(connection: Connection, source_id: int, begins: datetime, ends: datetime) -> list[Outline]:
    """Return what a source's deliveries of a time (up to `ends`, exclusive) were like, oldest first; no content."""
    query = (
        select(_deliveries.c.id, _deliveries.c.received_at, _deliveries.c.verdict, _deliveries.c.body_bytes)
        .add_columns(_events.c.type)
        .outerjoin_from(_deliveries, _events, _events.c.delivery_id == _deliveries.c.id)
        .where(_deliveries.c.id >= lowest_id("dlv", begins), _deliveries.c.received_at >= begins)
        # An id tells the millisecond and has the index; the column tells the microsecond.
        .where(_deliveries.c.id < lowest_id("dlv", ends + _MILLISECOND), _deliveries.c.received_at < ends)
        .where(*_of_source(source_id))
        .order_by(_deliveries.c.id, _events.c.id)
    )
    found: dict[str, Outline] = {}
    for row in connection.execute(query):
        known = found.get(row.id) or Outline(row.received_at, row.verdict, row.body_bytes, ())
        found[row.id] = known._replace(types=(*known.types, row.type)) if row.type else known
    return list(found.values())


def latest_without_event(
    connection: Connection, source_id: int, *, since: datetime, until: datetime
) -> datetime | None:
    """Return when the latest genuine delivery of a source came that brought no new event; of those in between alone.

    It is late, or a duplicate. `events.latest` tells of the others.
    """
    query = (
        select(_deliveries.c.received_at)
        .where(_deliveries.c.id >= lowest_id("dlv", since), _deliveries.c.id < lowest_id("dlv", until))
        .where(_deliveries.c.source_id == source_id, _has_no_event)
        .order_by(_deliveries.c.id.desc())
        .limit(1)
    )
    found: datetime | None = connection.execute(query).scalar_one_or_none()
    return found


def rejected(connection: Connection, source: str | None, *, below: str | None, limit: int) -> list[DeliveryRecord]:
    """Return the rejected deliveries that are stored, newest first; `below` is the id to go on from."""
    wanted = Listed((Verdict.REJECTED,), [source] if source else [])
    return listing(connection, wanted, below=below, limit=limit)


@dataclass(frozen=True)
class Listed:
    """Which of the deliveries to list that wait or were rejected; what is empty or none does not restrict."""

    verdicts: Sequence[Verdict] = (Verdict.LATE, Verdict.REJECTED)
    sources: Sequence[str] = ()
    reasons: Sequence[str] = ()
    received_after: datetime | None = None
    """From this time on (UTC)."""


def listing(connection: Connection, wanted: Listed, *, below: str | None, limit: int) -> list[DeliveryRecord]:
    """Return late and rejected deliveries, newest first; `below` is the id to go on from."""
    where: list[ColumnElement[bool]] = []
    if wanted.sources:
        where += pagination.beside(_deliveries.c.source_id, sources.ids(connection, wanted.sources) or [0], 0)
    if wanted.reasons:
        where += pagination.beside(_deliveries.c.reason, wanted.reasons, "")
    if wanted.received_after:
        after = wanted.received_after
        where += [_deliveries.c.id >= lowest_id("dlv", after), _deliveries.c.received_at >= after]
    found = [row for verdict in wanted.verdicts for row in _newest(connection, verdict, where, below, limit)]
    return sorted(found, key=lambda row: row.id, reverse=True)[:limit]


def _newest(
    connection: Connection, verdict: Verdict, where: Sequence[ColumnElement[bool]], below: str | None, limit: int
) -> list[DeliveryRecord]:
    # Each of the two verdicts has an index of its own, in the order of ids; as text, so that any plan goes by it.
    is_wanted = _deliveries.c.verdict == literal_column(f"'{verdict}'")
    query = _all().where(is_wanted, *where).order_by(_deliveries.c.id.desc()).limit(limit)
    if below:
        query = query.where(_deliveries.c.id < below)
    return fetch_all(connection, DeliveryRecord, query)


def rejected_for(connection: Connection, source_id: int, reason: str, *, limit: int) -> list[DeliveryRecord]:
    """Return the oldest deliveries of a source that were rejected for this reason."""
    query = _all().where(*_of_source(source_id), _is_rejected, _deliveries.c.reason == reason)
    return fetch_all(connection, DeliveryRecord, query.order_by(_deliveries.c.id).limit(limit))


def is_rejected_for(connection: Connection, delivery: NewDelivery, reason: str) -> bool:
    """Tell whether the same delivery is stored as rejected for this reason: the sender tries on while it gets 503."""
    short = shortened(delivery)
    query = select(_deliveries.c.headers).where(
        _deliveries.c.source_id == delivery.source_id,
        _is_rejected,
        _deliveries.c.reason == reason,
        _deliveries.c.body_sha256 == delivery.body_sha256,
        _deliveries.c.path == short.path,
    )
    return any(headers == short.headers for headers in connection.execute(query).scalars())


def store_rejected(
    connection: Connection,
    delivery: NewDelivery,
    *,
    reason: str,
    detail: str,
    proven: bool,
    likely: bool,
    most: int,
    body_bytes: int,
) -> None:
    """Store a rejected delivery, shortened, its body cut to `body_bytes`, and drop what is over `most` in its share.

    `likely` says that it looks like the bank's. A share may exceed `most` by some hundredths for a while.
    """
    values = dict(
        shortened(delivery)._asdict(),
        nonce=None,
        verdict=Verdict.REJECTED,
        reason=reason,
        detail=detail[:DETAIL_CHARACTERS],
        proven=proven,
        likely=likely,
        network=addresses.network_of(delivery.peer),
        body=delivery.body[:body_bytes],
        body_bytes=len(delivery.body),
    )
    connection.execute(insert(_deliveries).values(**values))
    every = max(1, most // COUNTED_EACH)
    if every == 1 or random.random() * every < 1:  # noqa: S311 - no secret
        _drop_surplus(connection, _Share(delivery.source_id, proven, likely), most, max(DROPPED_AT_ONCE, 2 * every))


class _Share(NamedTuple):
    """Rejected deliveries that are bounded together."""

    source_id: int
    proven: bool
    likely: bool

    def rows(self) -> list[ColumnElement[bool]]:
        return [
            _deliveries.c.source_id == self.source_id,
            _is_rejected,
            _deliveries.c.proven.is_(self.proven),
            _deliveries.c.likely.is_(self.likely),
        ]


def _drop_surplus(connection: Connection, share: _Share, most: int, at_once: int) -> None:
    network = _deliveries.c.network
    numbers = select(network, func.count()).where(*share.rows()).group_by(network)
    counts: dict[str, int] = dict(connection.execute(numbers).all())
    surplus = sum(counts.values()) - most
    if surplus <= 0:
        return
    senders = _senders(connection, share.source_id) if len(counts) > 1 else set()
    for loud, number in _loudest(counts, senders, min(surplus, at_once)).items():
        # Rows that another writer is dropping are left to it: waiting for each other, the two might do so in a circle.
        oldest = (
            select(_deliveries.c.id)
            .where(*share.rows(), network == loud)
            .order_by(_deliveries.c.id)
            .limit(number)
            # Not `FOR NO KEY UPDATE`, as everywhere else: they are deleted, so what refers to one must not be at it.
            .with_for_update(skip_locked=True)
            .cte("oldest")
        )
        connection.execute(delete(_deliveries).where(_deliveries.c.id.in_(select(oldest.c.id))))


def _senders(connection: Connection, source_id: int) -> set[str]:
    """Return the networks from which the latest genuine deliveries of a source came."""
    latest = select(_events.c.delivery_id).where(_events.c.source_id == source_id)
    latest = latest.order_by(_events.c.id.desc()).limit(SENDERS_FROM)
    query = select(_deliveries.c.peer).where(_deliveries.c.id.in_(latest.subquery().select()))
    return {addresses.network_of(peer) for peer in connection.execute(query).scalars()}


def _loudest(counts: Mapping[str, int], senders: Collection[str], surplus: int) -> Counter[str]:
    """Return how many rows each network loses: one at a time, from the one that has the most by then.

    Those of `senders` lose none for as long as any other network has rows.
    """
    # A heap gives the least first.
    networks = [(network in senders, -number, network) for network, number in counts.items()]
    heapq.heapify(networks)
    losses: Counter[str] = Counter()
    for _ in range(surplus):
        is_sender, left, network = networks[0]
        losses[network] += 1
        if left == -1:
            heapq.heappop(networks)
        else:
            heapq.heapreplace(networks, (is_sender, left + 1, network))
    return losses


def lock_rejected(connection: Connection, delivery_id: str) -> DeliveryRecord | None:
    """Return a rejected delivery, for this transaction alone; none where it is gone."""
    query = _all().where(_deliveries.c.id == delivery_id, _is_rejected)
    return fetch_one(connection, DeliveryRecord, query.with_for_update(of=_deliveries, key_share=True))


def set_reason(connection: Connection, delivery_ids: Sequence[str], reason: str) -> None:
    """Give rejected deliveries another reason."""
    connection.execute(
        update(_deliveries).where(_deliveries.c.id.in_(delivery_ids), _is_rejected).values(reason=reason)
    )


def delete_rejected(connection: Connection, delivery_id: str) -> None:
    """Remove a rejected delivery, to be written down anew as an accepted one."""
    connection.execute(delete(_deliveries).where(_deliveries.c.id == delivery_id, _is_rejected))
