"""Events: what banks told, and what happened around each."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from receiver.model import ProofStrength
from receiver.store import consumer_ranges, events, feed, payments
from receiver.store.consumer_ranges import EntrySeen
from receiver.store.database import Database
from receiver.store.payments import AGREEMENTS, STATUSES
from receiver.store.search import Wanted
from receiver.web.schemas.base import (
    PAGE,
    Agreement,
    Amount,
    Answer,
    AskedAmount,
    EventId,
    EventType,
    LeftOut,
    Limit,
    ListPage,
    Path,
    PathText,
    Query,
    QueryTime,
    Sha256,
    ShortText,
    SourceName,
    Status,
    Time,
    Truth,
    left_out,
    one_of,
)
from receiver.web.schemas.payments import Check

PROOFS = tuple(str(strength) for strength in ProofStrength)


class EventQuery(Query):
    """Which events to list."""

    q: LeftOut[ShortText] = left_out()
    """What a person would type: the beginning of an id, a reference, an account or a word of the remittance text; an
    amount (`1000`, `1,000.00`, `1000.00 USD`). Of several words all must fit."""
    source: list[SourceName] = Field(default_factory=list)
    """A source's name. Repeatable: any of them."""
    type: list[EventType] = Field(default_factory=list)
    """Such as `bcb.deposit`. Repeatable."""
    payment_id: list[ShortText] = Field(default_factory=list)
    """The payment that it is about. Repeatable."""
    event_id: list[ShortText] = Field(default_factory=list)
    """The event's id. Repeatable."""
    amount_min: LeftOut[AskedAmount] = left_out()
    """Of this amount or more, whatever its sign."""
    amount_max: LeftOut[AskedAmount] = left_out()
    """Of this amount or less, whatever its sign."""
    currency: list[ShortText] = Field(default_factory=list)
    """Such as `USD`. Repeatable."""
    account: list[ShortText] = Field(default_factory=list)
    """The whole number of an account, such as an IBAN with or without blanks. Repeatable."""
    reference: list[ShortText] = Field(default_factory=list)
    """A whole reference. Repeatable."""
    status: list[Annotated[Status, one_of(STATUSES)]] = Field(default_factory=list)
    """What the callback claims. Repeatable."""
    proof: list[Annotated[str, one_of(PROOFS), Field(json_schema_extra={"enum": list(PROOFS)})]] = Field(
        default_factory=list
    )
    """By what it was proven genuine. Repeatable."""
    agreement: list[Annotated[Agreement, one_of(AGREEMENTS)]] = Field(default_factory=list)
    """How the bank's answer about its payment or job stands to what callbacks claimed. Repeatable."""
    conflict: LeftOut[Truth] = left_out()
    """Only those that came again with other content (`true`), or only the others."""
    late: LeftOut[Truth] = left_out()
    """Only those that came late and were confirmed afterwards (`true`), or only the others."""
    received_after: LeftOut[QueryTime] = left_out()
    """From this time on. RFC 3339 with a zone."""
    received_before: LeftOut[QueryTime] = left_out()
    """Before this time. RFC 3339 with a zone."""
    limit: Limit = Field(PAGE, examples=[10])
    """Events in a page."""
    cursor: LeftOut[str] = left_out()
    """The `next` of the page before; repeat the filters with it."""

    def wanted(self, sources: Sequence[str]) -> Wanted:
        """Return what to search for, in these sources."""
        fields = Wanted.__dataclass_fields__.keys() - {"source", "question"}
        return Wanted(source=sources, question=self.q or "", **{name: getattr(self, name) for name in fields})


class EventPath(Path):
    """One event."""

    event_id: Annotated[PathText, Field(examples=["evt_01a1fe381c647449650ebf4481da"])]
    """The event's id."""


class Taken(Answer):
    """The callback is on disk."""

    status: Literal["accepted", "duplicate"]
    """`duplicate` where all of it was told before."""
    events: list[EventId]


class Event(Answer):
    """What a bank told."""

    id: EventId
    source: str
    bank: str
    type: str
    subject: str | None
    """What it is about: a payment's id, or a job's."""
    payment_id: str | None
    received_at: Time
    proof: str
    """How strongly it was proven genuine: `signature`, `encryption`, `token`, `address` or `none`."""
    proof_key: str
    """What fitted: `secret:<version>`, `rsa:<kid>` or `address:<range>`."""
    claimed_status: Status | None
    """What the callback says; the bank's API has the last word, see the payment."""
    amount: Amount | None
    currency: str | None
    facts: dict[str, Any]
    """What else the bank told, by name."""
    conflict: bool
    """The same event came again with other content."""
    late: bool
    """Its callback was signed too long ago or ahead, and accepted once the bank, or a person, confirmed it."""
    payload_sha256: Sha256
    found_by: Literal["sweep"] | None
    """`sweep` where a sweep found it at the bank before any callback came; `proof` is `none` until one comes."""
    on_hold: bool
    """Somebody holds it: nothing of it is removed, whatever its age."""


class DeliveryStep(Answer):
    """A callback that told the event."""

    at: Time
    what: Literal["delivery"]
    delivery: str
    verdict: Literal["accepted", "duplicate"]
    conflict: bool
    """It said something else of the event than the first one; it may tell other events for the first time."""
    peer: str
    """Who sent it: an IP address."""


class FoundStep(Answer):
    """A sweep has found it at the bank: no callback had come for it."""

    at: Time
    what: Literal["found"]
    by: Literal["sweep"]


class CheckStep(Answer):
    """A question to the bank about the payment or job, and its answer."""

    at: Time
    what: Literal["check"]
    outcome: str
    """`answered`, or why there is no answer."""
    bank_status: str | None
    detail: dict[str, Any]


class FeedStep(Answer):
    """An entry of the feed that stems from the event."""

    at: Time
    what: Literal["feed"]
    type: str
    position: int | None
    """Null until it is given."""


class ConsumerStep(Answer):
    """A consumer has read or acknowledged an entry of the feed that stems from the event."""

    at: Time
    """To the minute, where it reads much."""
    what: Literal["consumer"]
    consumer: str
    act: str
    """`read` or `acked`."""
    position: int
    token: str
    """The name of the token that it was done with."""


Step = DeliveryStep | FoundStep | CheckStep | FeedStep | ConsumerStep


class EventWithTimeline(Event):
    """An event and what happened around it."""

    timeline: list[Step]
    """In the order of time."""

    @classmethod
    def find(cls, database: Database, event_id: str) -> Self | None:
        """Read an event and what happened around it; none where there is no such event.

        Raises:
            StoreUnavailable
        """
        with database.read() as connection:
            found = events.find(connection, event_id)
            if found is None:
                return None
            checks = payments.of_event(connection, found).checks
            deliveries = events.deliveries_of(connection, event_id)
            entries = feed.of_event(connection, event_id)
            seen = consumer_ranges.of_event(connection, event_id, found.source)
        return cls(**dict(Event.of(found)), timeline=_timeline(found, deliveries, checks, entries, seen))


def _timeline(
    event: events.EventRecord,
    deliveries: Sequence[Any],
    checks: Sequence[Any],
    entries: Sequence[feed.Entry],
    seen: Sequence[EntrySeen],
) -> list[Step]:
    """Order what happened around an event by its time."""
    steps: list[Step] = [
        DeliveryStep(
            at=found.received_at,
            what="delivery",
            delivery=found.id,
            verdict=found.verdict,
            conflict=found.conflict,
            peer=found.peer,
        )
        for found in deliveries
    ]
    if event.found_by is not None:
        steps.append(FoundStep(at=event.received_at, what="found", by="sweep"))
    steps += [CheckStep(what="check", **Check.of(made).shown()) for made in checks]
    steps += [
        FeedStep(at=entry.time, what="feed", type=entry.type, position=entry.position or None) for entry in entries
    ]
    steps += [ConsumerStep(what="consumer", **entry._asdict()) for entry in seen]
    return sorted(steps, key=lambda step: step.at)


class EventPage(ListPage):
    """Events, newest first. In a list of accounts' numbers only the end is shown, but to who may read payloads."""

    data: list[Event]
    """A page may hold fewer than asked for, and none, though `next` leads to more: it ends after a bounded search."""
    next: str | None
    """The cursor of the next page; null on the last one."""
    complete: bool
    """False for as long as events of before an upgrade are not indexed: older ones may then be missing."""
