"""The plan by which banks are asked: what is asked first, the pauses of a payment, and why it is asked next.

What is asked first is one table, `PLAN`. Of each purpose the one that is longest due is asked in turn, and what is left
of the turn goes to the first in the table: new claims do not starve rechecks, nor these the new claims. What is swept
(`Purpose.SWEEP`) has no place in it: it is no payment's, and takes what its part of the budget leaves it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from receiver import banks
from receiver.bank_client import circuit
from receiver.bank_client.session import budget_of
from receiver.banks.protocol import Pauses
from receiver.model import Purpose, Status
from receiver.reconcile import hindrances
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import circuits, sources
from receiver.store.payments import NextCheck, SubjectRecord
from receiver.store.sources import SourceRecord

PLAN: Mapping[Purpose, str] = {
    Purpose.PERSON: "a person wants to know",
    Purpose.CLAIM: "a callback names it, and the bank was not asked since",
    Purpose.LATE: "a late delivery waits for the bank's answer",
    Purpose.RECHECK: "its state is not final",
}
"""What is asked first, and why."""

FINAL_ONCE_MORE = "its final state may still change"

JITTER = 0.1
"""A tenth either way, so that payments that came together are not asked for together for ever."""


@dataclass(frozen=True)
class Schedule:
    """Doubling pauses from `first` to `longest`, both in seconds."""

    first: float
    longest: float
    least: float = 0
    """No pause is shorter, chance included."""

    @classmethod
    def of(cls, settings: Settings, source: SourceRecord) -> "Schedule":
        """Return the pauses of a source's payments: those of the settings, and none shorter than its bank wants."""
        return cls(settings.recheck_seconds, settings.recheck_max_seconds).at_least(banks.named(source.bank).pauses)

    def at_least(self, pauses: Pauses) -> "Schedule":
        """Return the same with no shorter pauses than a bank wants."""
        return Schedule(max(self.first, pauses.first), max(self.longest, pauses.longest), pauses.first)

    @property
    def longest_pause(self) -> timedelta:
        """With the most that chance adds."""
        return timedelta(seconds=max(self.longest * (1 + JITTER), self.least))

    def next_check(
        self, status: Status, attempts: int, now: datetime, later: Sequence[datetime] = ()
    ) -> datetime | None:
        """Return when to ask again after `attempts` earlier checks.

        Where the status is final that is the next of `later`, the times at which the bank's package wants another
        look; none where there is none.
        """
        if status.is_final:
            return next((at for at in later if at > now), None)
        pause = min(self.first * 2.0 ** min(attempts, 30), self.longest)
        chance = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        return now + timedelta(seconds=max(pause * chance, self.least))


class Askable(NamedTuple):
    """Sources whose banks may be asked just now, by their numbers."""

    freely: Sequence[int]
    sparingly: Sequence[int]
    """One question at a time: the bank is tried, or is just back."""


def askable(connection: Connection, settings: Settings, now: datetime) -> Askable:
    """Return the sources whose banks may be asked at `now` (UTC): enabled, with credentials and requests, and not down.

    What is due of the others stays due, and is asked for as soon as that changes.
    """
    most = circuit.longest(settings)
    freely: list[int] = []
    sparingly: list[int] = []
    for source in banks.with_known_banks(sources.every(connection)):
        if not source.may_be_asked:
            continue
        if budget_of(connection, source, now).hindrance(source.name) is not None:
            continue
        found = circuits.find(connection, source.id)
        if found.next_at(now, most) is None:
            (freely if found.room(now) is None else sparingly).append(source.id)
    return Askable(freely, sparingly)


class NextChecks:
    """When and why banks are asked next about payments and jobs, as far as is known when it is made.

    Each source is looked at once, however many of its payments a list has.
    """

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._now = runtime.clock()
        self._hindrances: dict[int, Sequence[tuple[datetime | None, str]]] = {}

    def of(self, found: SubjectRecord) -> NextCheck:
        """Return when the bank is asked next about one of them, and why.

        Raises:
            StoreUnavailable
        """
        if found.due_at is None:
            return NextCheck(None, "its state is final" if found.status.is_final else "nobody claims it")
        is_final = found.status.is_final and found.purpose == Purpose.RECHECK
        why = FINAL_ONCE_MORE if is_final else PLAN.get(found.purpose, PLAN[Purpose.RECHECK])
        if found.source_id not in self._hindrances:
            self._hindrances[found.source_id] = self._look(found.source_id)
        waits = [(at, words) for at, words in self._hindrances[found.source_id] if at is None or at > found.due_at]
        if any(at is None for at, _ in waits):
            return NextCheck(None, f"{why}; {next(words for at, words in waits if at is None)}")
        latest = max((at, words) for at, words in [(found.due_at, ""), *waits] if at is not None)
        return NextCheck(latest[0], "; ".join(filter(None, (why, latest[1]))))

    def _look(self, source_id: int) -> Sequence[tuple[datetime | None, str]]:
        with self._runtime.database.read() as connection:
            source = sources.with_id(connection, source_id)
            return hindrances.of_source(connection, self._runtime.settings, source, self._now)
