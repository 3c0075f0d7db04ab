"""Whether a source's bank answers at all (circuit breaker), shared by all processes.

A circuit is closed while the bank answers. Failures in a row that mean that it is down open it: from then on nobody
asks, until one question is put to see whether it is back (a probe, half-open). One process alone puts it. Where it
fails too the pause doubles; where it is answered the circuit is closed, and the number of questions grows step by step.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from receiver.store.bulk_insert import insert_or_skip
from receiver.store.records import SKEW, columns_of, fetch_one
from receiver.store.tables import Circuit as Row
from receiver.store.tables import table_of

_circuits = table_of(Row)

PROBE = timedelta(seconds=120)
"""How long one process alone may take for a probe (a lease): longer than the time-outs of a question."""

RAMP = timedelta(minutes=5)
"""For how long after its return a bank is spared."""

FIRST, DOUBLED_EVERY = 4, timedelta(seconds=30)
"""Questions at once on its return, and how soon there may be twice as many in all."""

ERROR_CHARACTERS = 300


class Circuit(NamedTuple):
    """How the circuit of a source stands; times are UTC."""

    failures: int = 0
    opened_at: datetime | None = None
    """Since when the bank is down; none while the circuit is closed."""
    retry_at: datetime | None = None
    """When the next probe may be made."""
    probes: int = 0
    probing_until: datetime | None = None
    closed_at: datetime | None = None
    asked: int = 0
    error: str | None = None

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to be remembered of it."""
        return not self.failures and self.opened_at is None

    def next_at(self, now: datetime, longest: timedelta) -> datetime | None:
        """Return when a question may be put; none where one may be now. `longest` is the longest pause there is.

        A time that is further ahead than any is put off was written down by a clock that was wrong, and is over.
        """
        if self.opened_at is not None:
            waits = (self.retry_at, longest), (self.probing_until, PROBE)
            return max((at for at, most in waits if at is not None and now < at <= now + most + SKEW), default=None)
        if self.closed_at is None or not timedelta(0) <= now - self.closed_at < RAMP:
            return None
        return self._next_step(self.closed_at, now)

    def for_person(self) -> "Circuit":
        """Return how it stands for a person's question, which waits for no pause, and is not counted on its return."""
        return self._replace(retry_at=None, closed_at=None)

    def room(self, now: datetime) -> int | None:
        """Return how many questions may be put just now, where no more than some may: one that probes, or a few."""
        if self.opened_at is not None:
            return 1
        if self.closed_at is None or not timedelta(0) <= now - self.closed_at < RAMP:
            return None
        return max(_allowed(now - self.closed_at) - self.asked, 0)

    def _next_step(self, closed_at: datetime, now: datetime) -> datetime | None:
        since = now - closed_at
        while _allowed(since) <= self.asked:
            since = (since // DOUBLED_EVERY + 1) * DOUBLED_EVERY
        return None if closed_at + since <= now else closed_at + since


def _allowed(since: timedelta) -> int:
    """Return how many questions there may be in all in the time since the bank is back."""
    return int(FIRST * 2 ** (since // DOUBLED_EVERY))


CALM = Circuit()


class Entered(NamedTuple):
    """Whether a question may be put, and whether it is the probe."""

    wait: datetime | None = None
    """When to come back; none where it may be put now."""
    probe: datetime | None = None
    """The end of the probe's lease, by which it is known; none where it is not the probe."""


def find(connection: Connection, source_id: int) -> Circuit:
    """Return how the circuit of a source stands."""
    query = select(*columns_of(Circuit, _circuits)).where(_circuits.c.source_id == source_id)
    return fetch_one(connection, Circuit, query) or CALM


def enter(connection: Connection, source_id: int, *, now: datetime, longest: timedelta, is_person: bool) -> Entered:
    """Let one question through, the probe where the circuit is open, or say when to come back.

    A person's question is not put off for the pause between two probes, and is not counted on the bank's return.
    """
    query = select(*columns_of(Circuit, _circuits)).where(_circuits.c.source_id == source_id)
    found = fetch_one(connection, Circuit, query.with_for_update(key_share=True)) or CALM
    found = found.for_person() if is_person else found
    wait = found.next_at(now, longest)
    if wait is not None:
        return Entered(wait)
    probe = now + PROBE if found.opened_at is not None else None
    changed = {"probing_until": probe} if probe is not None else {"asked": found.asked + 1}
    if probe is not None or found.room(now) is not None:
        connection.execute(update(_circuits).where(_circuits.c.source_id == source_id).values(**changed))
    return Entered(probe=probe)


def leave(connection: Connection, source_id: int, probe: datetime) -> None:
    """End a probe by which nothing was found out, as the question was not put; not one that has followed it."""
    ours = (_circuits.c.source_id == source_id, _circuits.c.probing_until == probe)
    connection.execute(update(_circuits).where(*ours).values(probing_until=None))


def fail(
    connection: Connection,
    source_id: int,
    *,
    now: datetime,
    most: int,
    pauses: tuple[timedelta, timedelta],
    error: str,
    probe: datetime | None = None,
) -> bool:
    """Count a failure that means that the bank is down; return whether that has opened the circuit.

    `most` failures in a row open it. `pauses` are the first pause until a probe, which doubles, and the longest one.
    `probe` is what `enter` has said of the question: what was asked before the circuit opened, or by a probe that
    another has followed, and fails only now, ends no probe and prolongs no pause.
    """
    insert_or_skip(connection, _circuits, ["source_id"], {"source_id": source_id, **_BLANK})
    query = select(*columns_of(Circuit, _circuits)).where(_circuits.c.source_id == source_id)
    found = fetch_one(connection, Circuit, query.with_for_update(key_share=True)) or CALM
    failures = found.failures + 1
    changed: dict[str, object] = {"failures": failures, "error": error[:ERROR_CHARACTERS]}
    opens = found.opened_at is None and failures >= most
    if opens or (probe is not None and found.probing_until == probe):
        probes = 0 if opens else found.probes + 1
        pause = min(pauses[0] * 2 ** min(probes, 30), pauses[1])
        changed |= {"opened_at": found.opened_at or now, "retry_at": now + pause, "probes": probes}
        changed |= {"probing_until": None, "closed_at": None, "asked": 0}
    connection.execute(update(_circuits).where(_circuits.c.source_id == source_id).values(**changed))
    return opens


_BLANK = {"failures": 0, "probes": 0, "asked": 0}


def succeed(connection: Connection, source_id: int, *, now: datetime) -> bool:
    """Note that the bank answers; return whether that has closed the circuit.

    Any answer does, the probe's or not: a late failure tells of when the question was put, an answer of now.
    """
    query = select(*columns_of(Circuit, _circuits)).where(_circuits.c.source_id == source_id)
    found = fetch_one(connection, Circuit, query.with_for_update(key_share=True)) or CALM
    if found.is_calm:
        return False
    changed: dict[str, object] = {"failures": 0}
    if found.opened_at is not None:
        changed |= {
            "opened_at": None,
            "retry_at": None,
            "probing_until": None,
            "probes": 0,
            "closed_at": now,
            "asked": 0,
        }
    connection.execute(update(_circuits).where(_circuits.c.source_id == source_id).values(**changed))
    return found.opened_at is not None
