"""Standing of worker and banks: when it was at work last, and what each source may still ask its bank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from receiver import banks
from receiver.admin.sources import in_use
from receiver.bank_client.circuit import longest
from receiver.bank_client.session import budget_of, spent_of
from receiver.banks.unreached import proxy_for
from receiver.reconcile.give_up import give_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import circuits, sources, workers
from receiver.store.sources import SourceRecord


@dataclass(frozen=True)
class SourceState:
    """How one source stands with its bank; times are UTC."""

    source: str
    requests_limit: int
    requests_left: int
    requests_anew_at: datetime | None
    """When all of them may be made anew; none where all of them may be now."""
    blocked_until: datetime | None
    """When the bank, by a 429, takes requests again."""
    requests_spent: Mapping[str, int]
    """Requests of the present window by what they were made for."""
    down_since: datetime | None
    """Since when the bank is down, and not asked but to see whether it is back."""
    tried_at: datetime | None
    """When it is tried next, where it is down."""
    gives_up_at: datetime | None
    """When the bank stops sending at the earliest, because what it sends is not taken; none where it does not."""
    gives_up_failures_left: int | None
    """After how many more failures it does, where it counts them."""
    proxy: str | None
    """Through which its API is asked, without user and password."""


@dataclass(frozen=True)
class State:
    """What `receiver doctor --json` tells besides its findings."""

    worker_seen_at: datetime | None
    sources: Sequence[SourceState]


def state(runtime: Runtime, source_name: str | None = None) -> State:
    """Return when a worker was at work last, and how each source, or the named one, stands with its bank.

    Raises:
        NotFound
        NotPossible: the source was removed.
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        known = chosen(connection, source_name)
        states = [
            of_source(connection, runtime.settings, source, runtime.clock()) for source in banks.with_known_banks(known)
        ]
        return State(workers.last_seen(connection), states)


def chosen(connection: Connection, source_name: str | None) -> list[SourceRecord]:
    """Return the sources that were not removed, or the named one.

    Raises:
        NotFound
        NotPossible: it was removed.
    """
    return sources.shown(connection) if source_name is None else [in_use(connection, source_name)]


def of_source(connection: Connection, settings: Settings, source: SourceRecord, now: datetime) -> SourceState:
    """Return how a source stands with its bank at `now` (UTC)."""
    stands = budget_of(connection, source, now)
    circuit = circuits.find(connection, source.id)
    clock = give_up(connection, source, now)
    url = source.base_url or banks.named(source.bank).hosts.get(source.environment)
    return SourceState(
        source=source.name,
        requests_limit=stands.limit,
        requests_left=stands.left,
        requests_anew_at=stands.ends_at,
        blocked_until=stands.blocked_until,
        requests_spent={str(each): number for each, number in spent_of(connection, source, stands).items()},
        down_since=circuit.opened_at,
        tried_at=circuit.next_at(now, longest(settings)) if circuit.opened_at is not None else None,
        gives_up_at=None if clock is None else clock.at,
        gives_up_failures_left=None if clock is None else clock.failures_left,
        proxy=proxy_for(url) if url else None,
    )
