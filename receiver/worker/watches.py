"""What the worker watches: silence, payments that do not end, the give-up clock, idle consumers, subscriptions.

What is so over and over is opened once, and resolved by itself once it is so no longer.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.abilities import Subscribes
from receiver.banks.errors import BankError
from receiver.model import ExceptionKind, Purpose
from receiver.reconcile import give_up, subscriptions
from receiver.retention import policy
from receiver.runtime import Runtime
from receiver.store import deliveries, events, exceptions, held_back, payments, sources, workers
from receiver.store.encryption import DecryptionFailed
from receiver.store.exceptions import AT_ONCE, Opened
from receiver.store.payments import Stalled
from receiver.store.records import SKEW
from receiver.store.sources import SourceRecord
from receiver.worker.chore import Chore, apart, is_within

log = logging.getLogger(__name__)


WARNED_EVERY = timedelta(hours=1)


@dataclass
class QuietSources(Chore):
    """Warns of quiet sources, of each once an hour at most in each process, and opens that they are."""

    every = timedelta(minutes=1)

    _warned_at: dict[int, datetime] = field(default_factory=dict, init=False)

    def _do(self, now: datetime) -> int:
        with self.runtime.database.read() as connection:
            every = sources.every(connection)
            judged = banks.with_known_banks(every)
            known = {source.id: source for source in judged if source.enabled}
            quiet = {
                source_id: words
                for source_id, source in known.items()
                if (words := quiet_warning(connection, source, now))
            }
        self._warned_at = {each: at for each, at in self._warned_at.items() if each in quiet}
        for source_id, words in quiet.items():
            if not is_within(WARNED_EVERY, self._warned_at.get(source_id), now):
                self._warned_at[source_id] = now
                log.warning(words)
        found = [_about_source(ExceptionKind.SILENCE, known[source_id], words) for source_id, words in quiet.items()]
        follow(self.runtime, ExceptionKind.SILENCE, found, _without(every, judged))
        return 0


def _without(every: Sequence[SourceRecord], judged: Sequence[SourceRecord]) -> set[int]:
    return {source.id for source in every} - {source.id for source in judged}


def _about_source(kind: ExceptionKind, source: SourceRecord, words: str) -> Opened:
    return Opened(kind, source.id, "source", source.name, detail=words)


def follow(runtime: Runtime, kind: ExceptionKind, found: Sequence[Opened], undecided: Collection[int] = ()) -> None:
    """Open what is so by now of a kind, and resolve what is so no longer; of sources that are undecided neither.

    Nothing is written where nothing has changed.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        changed = exceptions.changes(connection, kind, found, undecided)
    if changed:
        with runtime.database.write() as connection:
            exceptions.apply(connection, changed, runtime.clock())


class StalledPayments(Chore):
    """Opens payments and jobs that have not come to an end for too long, where there is a bank to ask about them."""

    every = timedelta(minutes=1)

    def _do(self, now: datetime) -> int:
        before = now - timedelta(seconds=self.runtime.settings.stalled_seconds)
        with self.runtime.database.read() as connection:
            asked = [source for source in sources.every(connection) if source.may_be_asked]
            found = [source.id for source in asked if payments.has_stalled(connection, source.id, before)]
        most = max((self._stall(source_id, before, now) for source_id in found), default=0)
        self._is_more_left = most == AT_ONCE
        return 0

    def _stall(self, source_id: int, before: datetime, now: datetime) -> int:
        with self.runtime.database.write() as connection:
            noted = payments.stall(connection, source_id, before, now, limit=AT_ONCE)
            exceptions.open_all(connection, [_stalled(each) for each in noted], now)
        return len(noted)


def _stalled(found: Stalled) -> Opened:
    says = f"the bank says {found.bank_status}" if found.bank_status else "the bank has not said how it stands"
    words = f"it is known since {found.created_at:%Y-%m-%d %H:%M} UTC and has not come to an end: {says}"
    return Opened(
        ExceptionKind.STALLED,
        found.source_id,
        str(found.kind),
        found.subject,
        event_id=found.last_event_id,
        amount=found.amount,
        currency=found.currency,
        detail=words,
    )


class GiveUpClock(Chore):
    """Tells a person a day before a bank stops sending, or when few failures are left."""

    every = timedelta(minutes=1)

    def _do(self, now: datetime) -> int:
        found = []
        with self.runtime.database.read() as connection:
            every = sources.every(connection)
            judged = banks.with_known_banks(every)
            undecided = _without(every, judged)
            for source in judged:
                clock = give_up.give_up(connection, source, now) if source.enabled else None
                if clock is not None and clock.is_near(now):
                    found.append(give_up.warning(source, clock))
                elif clock is None and source.enabled and give_up.is_undecided(connection, source, now):
                    undecided.add(source.id)
        follow(self.runtime, ExceptionKind.GIVING_UP, found, undecided)
        return 0


class IdleConsumers(Chore):
    """Opens consumers that did nothing for so long that what they have not read is kept no longer for them.

    Once each, at the source of the first entry that they have not acknowledged, until they do something or are removed.
    """

    every = timedelta(minutes=1)

    def _do(self, now: datetime) -> int:
        kind = ExceptionKind.CONSUMER_IDLE
        with self.runtime.database.read() as connection:
            idle = held_back.idle_readers(connection, policy.idle_since(self.runtime.settings, now))
            standing = exceptions.standing(connection, kind).values()
        # Where it was opened it stays, also when what it had not read is removed.
        so_far = {each.subject: each.source_id for each in standing if each.over_at is None}
        days = self.runtime.settings.consumer_idle_days
        words = f"it did nothing for {days} days: what it has not read may be removed"
        found = [
            Opened(kind, source_id, "consumer", each.name, detail=words)
            for each in idle
            if (source_id := so_far.get(each.name, each.source_id)) is not None
        ]
        follow(self.runtime, kind, found)
        return 0


SUBSCRIPTIONS_ASKED_EVERY = timedelta(hours=1)

SUBSCRIPTIONS = "subscriptions"


class Subscriptions(Chore):
    """Asks the banks, once an hour and last of all, whether a subscription is active that sends callbacks here.

    Nothing is asked where this receiver's own address is not set, or a source is out of use: nor does it need anybody.
    """

    every = timedelta(minutes=1)

    def _do(self, now: datetime) -> int:
        origin = self.runtime.settings.public_url
        with self.runtime.database.read() as connection:
            known = sources.every(connection)
            judged = banks.with_known_banks(known)
            asked = [source for source in judged if origin is not None and _has_subscriptions(source)]
            due = [
                source
                for source in asked
                if workers.is_look_due(connection, source.id, SUBSCRIPTIONS, now=now, every=SUBSCRIPTIONS_ASKED_EVERY)
            ]
        undecided = _without(known, judged) | {source.id for source in asked}
        follow(self.runtime, ExceptionKind.SUBSCRIPTION_INACTIVE, [], undecided)
        for source in due:
            with self.runtime.database.write() as connection:
                is_ours = workers.claim_look(
                    connection, source.id, SUBSCRIPTIONS, now=now, every=SUBSCRIPTIONS_ASKED_EVERY
                )
            if is_ours and origin is not None:
                with apart("looking at the subscriptions", source):
                    self._ask(source, origin)
        return 0

    def _ask(self, source: SourceRecord, origin: str) -> None:
        own = subscriptions.address(self.runtime.settings, source, origin)
        try:
            faults = subscriptions.look(BankSession(self.runtime, source, Purpose.SWEEP), source, own)
        except (BankError, BudgetSpent, DecryptionFailed) as error:
            log.info("the subscriptions of %s can't be looked at: %s", source.name, error)
            return
        kind = ExceptionKind.SUBSCRIPTION_INACTIVE
        found = [_about_source(kind, source, "; ".join(faults))] if faults else []
        with self.runtime.database.read() as connection:
            others = {each.id for each in sources.every(connection)} - {source.id}
        follow(self.runtime, kind, found, others)


def _has_subscriptions(source: SourceRecord) -> bool:
    return source.may_be_asked and isinstance(banks.named(source.bank), Subscribes)


def quiet_warning(connection: Connection, source: SourceRecord, now: datetime) -> str | None:
    """Return in words that a source is quiet for longer than it should be; none where it is not.

    What was rejected does not count: it was not the bank's.
    """
    bank = banks.named(source.bank)
    since = bank.silent_since(source.options, now)
    if since is None:
        return None
    # What a clock that was ahead has dated says nothing of when it was.
    until = now + SKEW
    latest = events.latest(connection, source.id, until)
    known = [at for at in (latest, source.created_at) if at is not None and at < until]
    if not known or max(known) > since:
        return None
    # No new event; the bank may still have repeated one.
    if deliveries.latest_without_event(connection, source.id, since=since, until=until) is not None:
        return None
    last = (
        f"since {latest:%Y-%m-%d %H:%M} UTC"
        if latest
        else f"since it was added at {source.created_at:%Y-%m-%d %H:%M} UTC"
    )
    return f"no callback for source {source.name} {last}: {bank.silence_means}"
