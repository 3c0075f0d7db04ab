"""How things stand just now: when a worker was at work last, and what each source may still ask its bank."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from receiver import banks
from receiver.admin.sources import in_use
from receiver.bank_client.session import budget_of
from receiver.banks.unreached import proxy_for
from receiver.runtime import Runtime
from receiver.store import sources, worker_seen
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
        states = [of_source(connection, source, runtime.clock()) for source in known]
        return State(worker_seen.last(connection), states)


def chosen(connection: Connection, source_name: str | None) -> list[SourceRecord]:
    """Return the sources that were not removed, or the named one.

    Raises:
        NotFound
        NotPossible: it was removed.
    """
    return sources.shown(connection) if source_name is None else [in_use(connection, source_name)]


def of_source(connection: Connection, source: SourceRecord, now: datetime) -> SourceState:
    """Return how a source stands with its bank at `now` (UTC)."""
    stands = budget_of(connection, source, now)
    url = source.base_url or banks.named(source.bank).hosts.get(source.environment)
    proxy = proxy_for(url) if url else None
    return SourceState(source.name, stands.limit, stands.left, stands.ends_at, stands.blocked_until, proxy)
