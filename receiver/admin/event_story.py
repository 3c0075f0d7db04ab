"""All that happened around one event, in the order of time: who sent it, what the bank says, who read it.

There is this one story: the page, the evidence packet, the API and the command show it, each in its own way.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.model import ConsumerAct, NotFound, OwnType
from receiver.projection.projector import catch_up, derive_all
from receiver.runtime import Runtime
from receiver.store import (
    audit,
    consumer_ranges,
    deliveries,
    events,
    exceptions,
    feed,
    holds,
    payments,
    replays,
)
from receiver.store.audit import AuditRecord
from receiver.store.consumer_ranges import EntrySeen
from receiver.store.database import StoreUnavailable
from receiver.store.deliveries import DeliveryRecord
from receiver.store.events import EventDelivery, EventRecord, Filter
from receiver.store.exceptions import ExceptionRecord
from receiver.store.feed import Entry
from receiver.store.holds import HoldRecord
from receiver.store.payments import CheckRecord, SubjectRecord
from receiver.store.replays import ReplayRecord

LOOKS_MAX = 100
"""Entries of the audit log about one event that are shown, the latest."""

BESIDE_MAX = 20
"""Other events of the same payment that are shown, the latest."""


class Copy(NamedTuple):
    """An entry of the feed that a replay wrote once more."""

    entry: Entry
    replay_id: str
    replay: ReplayRecord | None


class Step(NamedTuple):
    """One thing that happened; `at` is UTC."""

    at: datetime
    what: str
    """`signed`, `found`, `joined`, `received`, `proven`, `repeated`, `conflict`, `fed`, `read`, `acked`, `checked`,
    `sent_again` or `acted`."""
    words: str
    about: str | None = None
    """What `name` names: `delivery`, `consumer` or `replay`."""
    name: str | None = None
    detail: str | None = None
    record: EventDelivery | CheckRecord | Entry | Copy | EntrySeen | AuditRecord | None = None
    """What it is told of, for programs; none where all of it is said."""


@dataclass(frozen=True)
class Story:
    """An event, and all that is known around it."""

    event: EventRecord
    steps: Sequence[Step]
    delivery: DeliveryRecord | None
    """The one that told it first, for as long as it is stored."""
    deliveries: Sequence[EventDelivery]
    subject: SubjectRecord | None
    """Its payment or job."""
    checks: Sequence[CheckRecord]
    """What the bank was asked about it, by its reference too, oldest first."""
    beside: Sequence[EventRecord]
    """Other events of the same payment, newest first."""
    exceptions: Sequence[ExceptionRecord]
    looks: Sequence[AuditRecord]
    entries: Sequence[Entry]
    """What stems from it in the feed."""
    hold: HoldRecord | None
    """Who holds it, so that nothing of it is removed."""

    @property
    def has_payload(self) -> bool:
        """Whether what the bank sent is still stored."""
        return self.delivery is not None and self.delivery.body is not None

    @property
    def answer(self) -> CheckRecord | None:
        """What the bank answered last; none where it never did."""
        return next((check for check in reversed(self.checks) if check.outcome == "answered"), None)

    @property
    def conflicting(self) -> Sequence[EventDelivery]:
        """The deliveries that said something else than the first."""
        return [each for each in self.deliveries if each.conflict]


def story(runtime: Runtime, event_id: str) -> Story:
    """Return an event with all that happened around it, and what needs a person by now.

    Raises:
        NotFound: nothing is derived for it then.
        StoreUnavailable
    """
    _derive(runtime, event_id)
    with runtime.database.read() as connection:
        event = _found(connection, event_id)
        subjects, checks = payments.of_event(connection, event)
        came = events.deliveries_of(connection, event_id)
        entries = feed.of_event(connection, event_id)
        seen = consumer_ranges.of_event(connection, event_id, event.source)
        looks = audit.about(connection, "event", event_id, limit=LOOKS_MAX)
        first = None if event.delivery_id is None else deliveries.find(connection, event.delivery_id)
        return Story(
            event=event,
            steps=_ordered(_steps(event, first, came, entries, seen, _sent(connection, entries), checks, looks)),
            delivery=first,
            deliveries=came,
            subject=subjects[0] if subjects else None,
            checks=checks,
            beside=_beside(connection, event),
            exceptions=exceptions.of_subject(connection, event.source_id, _abouts(event, subjects, came)),
            looks=looks,
            entries=entries,
            hold=holds.find(connection, event_id),
        )


def _derive(runtime: Runtime, event_id: str) -> None:
    """Derive what follows from all that came; also what a person has to look at, if this event can have opened it.

    That brings the index of searches up to date, which is too much for each look at any event; where it can't be
    written just now, the story is told without what it would have opened.
    """
    with runtime.database.read() as connection:
        event = _found(connection, event_id)
    catch_up(runtime.database)
    if event.conflict or event.late:
        with suppress(StoreUnavailable):
            derive_all(runtime.database, runtime.clock())
            # What was opened just now has an entry of the feed too.
            catch_up(runtime.database)


def _found(connection: Connection, event_id: str) -> EventRecord:
    event = events.find(connection, event_id)
    if event is None:
        raise NotFound(f"there is no event {event_id!r}")
    return event


def _sent(connection: Connection, entries: Sequence[Entry]) -> Mapping[str, ReplayRecord]:
    """Return the replays that wrote entries, by their ids."""
    ids = {entry.replay_id for entry in entries if entry.replay_id is not None}
    return {found.id: found for replay_id in ids if (found := replays.find(connection, replay_id)) is not None}


def _beside(connection: Connection, event: EventRecord) -> list[EventRecord]:
    if event.payment_id is None:
        return []
    wanted = Filter(sources=[event.source], payment_ids=[event.payment_id])
    found = events.listing(connection, wanted, below=None, limit=BESIDE_MAX + 1)
    return [other for other in found if other.id != event.id][:BESIDE_MAX]


def _abouts(
    event: EventRecord, subjects: Sequence[SubjectRecord], came: Sequence[EventDelivery]
) -> list[tuple[str, str]]:
    """Return what a person may have to look at that concerns an event, as what and which."""
    found = [("event", event.id), *(("delivery", each.id) for each in came[:BESIDE_MAX])]
    return [*found, *((str(subject.kind), subject.subject) for subject in subjects)]


def _ordered(steps: Iterator[Step]) -> list[Step]:
    # A stable sort: what has one time stays in the order in which it is said.
    return sorted(steps, key=lambda step: step.at)


def _steps(
    event: EventRecord,
    first: DeliveryRecord | None,
    came: Sequence[EventDelivery],
    entries: Sequence[Entry],
    seen: Sequence[EntrySeen],
    sent: Mapping[str, ReplayRecord],
    checks: Sequence[CheckRecord],
    looks: Sequence[AuditRecord],
) -> Iterator[Step]:
    if first is not None and first.signed_at is not None:
        yield Step(first.signed_at, "signed", "The bank signed it.")
    if event.found_by is not None:
        yield from _of_sweep(event, came)
    for number, each in enumerate(came):
        yield from _of_delivery(event, each, is_first=number == 0)
    yield from map(_of_check, checks)
    yield from (_of_entry(entry) for entry in entries if entry.replay_id is None)
    yield from (
        _of_copy(Copy(entry, entry.replay_id, sent.get(entry.replay_id)))
        for entry in entries
        if entry.replay_id is not None
    )
    yield from map(_of_consumer, seen)
    yield from map(_of_look, looks)


def _of_sweep(event: EventRecord, came: Sequence[EventDelivery]) -> Iterator[Step]:
    yield Step(
        event.received_at, "found", "A sweep found it at the bank: no callback had come for it. Nothing proves it."
    )
    if came:
        delay = came[0].received_at - event.received_at
        yield Step(came[0].received_at, "joined", f"Its callback came after all, {_shown(delay)} after the sweep.")


def _shown(delay: timedelta) -> str:
    """Write how long something took, in its two largest units."""
    minutes, seconds = divmod(max(0, round(delay.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((place for place, (number, _) in enumerate(units) if number), len(units) - 1)
    return " ".join(
        f"{number} {unit}" for number, unit in units[first : first + 2] if number or first == len(units) - 1
    )


def _of_delivery(event: EventRecord, came: EventDelivery, *, is_first: bool) -> Iterator[Step]:
    if is_first:
        yield Step(came.received_at, "received", f"It came from {came.peer}.", "delivery", came.id, record=came)
        late = ", late, and was confirmed afterwards" if event.late else ""
        words = f"It was proven genuine by {event.proof}, with {event.proof_key}{late}, and stored."
        yield Step(max(came.received_at, event.received_at), "proven", words)
    elif came.conflict:
        words = "It came again with other content."
        yield Step(came.received_at, "conflict", words, "delivery", came.id, record=came)
    else:
        words = f"It came again, from {came.peer}."
        yield Step(came.received_at, "repeated", words, "delivery", came.id, record=came)


def _of_entry(entry: Entry) -> Step:
    place = f"at position {entry.position}" if entry.position else "and waits for its position"
    if entry.type in set(OwnType):
        return Step(entry.time, "fed", f"Apps are told {entry.type}, {place}.", record=entry)
    return Step(entry.time, "fed", f"It went to the feed as {entry.type}, {place}.", record=entry)


def _of_copy(copy: Copy) -> Step:
    """Tell of a copy by when it was written, or at the earliest may have been where an earlier release wrote it."""
    entry, replay = copy.entry, copy.replay
    began = entry.time if replay is None else replay.approved_at or replay.created_at
    who = "A replay" if replay is None else f"A replay of {replay.requested_by}"
    whom = "" if entry.consumer is None else f" to {entry.consumer} alone"
    place = f"at position {entry.position}" if entry.position else "and it waits for its position"
    words = f"{who} sent it again{whom}, {place}."
    reason = None if replay is None else replay.reason
    return Step(entry.copied_at or began, "sent_again", words, "replay", copy.replay_id, reason, copy)


def _of_consumer(seen: EntrySeen) -> Step:
    did = "has read" if seen.act == ConsumerAct.READ else "has acknowledged"
    words = f"{seen.consumer} {did} position {seen.position}, with the token {seen.token}."
    return Step(seen.at, str(seen.act), words, "consumer", seen.consumer, record=seen)


def _of_check(check: CheckRecord) -> Step:
    if check.outcome == "answered":
        return Step(check.at, "checked", f"The bank answered: {check.bank_status}.", record=check)
    error = check.detail.get("error")
    words = f"The bank was asked, without an answer: {check.outcome.replace('_', ' ')}."
    return Step(check.at, "checked", words, detail=str(error) if error else None, record=check)


ACTS = {
    "payload.read": "read what the bank sent",
    "evidence.made": "took an evidence packet",
    "deliveries.accepted": "accepted it though it was late",
    "exception.acknowledged": "is at what needs a person here",
    "exception.resolved": "resolved what needed a person here",
    "event.held": "put it on hold",
    "event.released": "released it from hold",
}
"""What was done to an event, in words."""


def _of_look(entry: AuditRecord) -> Step:
    words = f"{entry.who} {ACTS.get(entry.what, entry.what)}."
    return Step(entry.at, "acted", words, detail=entry.why, record=entry)
