"""Removing a bank relation (`receiver source remove`)."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from receiver.admin import sources
from receiver.credentials import outcomes
from receiver.model import NotPossible
from receiver.runtime import Runtime
from receiver.store import audit, destinations, removals
from receiver.store.database import Contended, retried

TRIES, PAUSE_SECONDS = 8, 0.25
"""Twice as long as other processes take callbacks for a source by what they know of it."""


@dataclass(frozen=True)
class Removed:
    """What became of a source."""

    name: str
    """What it is called where removed sources are listed: by its own name, which stays taken, or by a former one."""
    holds: Sequence[str]
    """The tables that hold what came of its callbacks; none where its name is free."""


def remove(runtime: Runtime, who: str, name: str) -> Removed:
    """Remove a source for good; audited as `source.removed`.

    Its callbacks get 404 within a second, its bank is asked no more, its API credentials are destroyed and an
    unfinished change of them is given up. Where anything came of its callbacks (events, late deliveries, rejected ones
    that look like the bank's) it is hidden: its name stays taken, and a valid filter. Else its name is free for another
    source. Where that was cut short, it can be asked for once more.

    Raises:
        NotFound
        NotPossible: it was removed before, and is to stay.
        StoreUnavailable
    """
    holds = _hide(runtime, who, name)
    for number in range(0 if holds else TRIES):
        if number:
            time.sleep(PAUSE_SECONDS)
        with suppress(Contended):
            return _clear(runtime, name)
    return Removed(name, holds or ["deliveries"])


@retried
def _hide(runtime: Runtime, who: str, name: str) -> Sequence[str]:
    """Hide a source; return the tables that hold what came of its callbacks."""
    now = runtime.clock()
    with runtime.database.write() as connection:
        sources.named(connection, name)
        source = destinations.locked(connection, name)
        assert source is not None  # noqa: S101 - no row is ever deleted, and none is renamed that is in use
        holds = removals.remaining(connection, source.id)
        if source.hidden_at is None:
            outcomes.abandon(connection, runtime.encryption, source, who, now)
            removals.hide(connection, source, now)
            about = {"source": name, "bank": source.bank, "hidden": bool(holds)}
            audit.write(connection, runtime.encryption, at=now, who=who, what="source.removed", about=about)
        elif holds:
            raise NotPossible(f"source {name} was removed before, and what its bank told stays")
        return holds


def _clear(runtime: Runtime, name: str) -> Removed:
    """Free the name of a hidden source, unless a callback that was on its way has left something.

    Raises:
        Contended: one is being written just now.
    """
    with runtime.database.write() as connection:
        source = sources.named(connection, name)
        holds = removals.remaining(connection, source.id)
        return Removed(name if holds else removals.clear(connection, source), holds)
