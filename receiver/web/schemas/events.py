"""Events: what banks told, and what happened around each."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field

from receiver.admin import event_story
from receiver.model import REASON_CHARACTERS_MAX, ProofStrength, Scope
from receiver.runtime import Runtime
from receiver.store import feed
from receiver.store.audit import AuditRecord
from receiver.store.consumer_ranges import EntrySeen
from receiver.store.events import EventDelivery
from receiver.store.payments import AGREEMENTS, STATUSES, CheckRecord
from receiver.store.search import Wanted
from receiver.web.schemas.base import (
    NO_NUL,
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
from receiver.web.schemas.exceptions import StaffException, says_something
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


Reason = Annotated[
    str, Field(max_length=REASON_CHARACTERS_MAX, pattern=NO_NUL, examples=["case 7"]), AfterValidator(says_something)
]


class ReadingQuery(Query):
    """Why somebody reads what a bank sent."""

    reason: LeftOut[Reason] = left_out()
    """It is stored in the audit log; proxies may log it too, so give a case number and no names."""


class Taken(Answer):
    """The callback is on disk."""

    status: Literal["accepted", "duplicate"]
    """`duplicate` where all of it was told before."""
    events: list[EventId]
    """As the events stand in the body; of a `duplicate` in no particular order."""


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


class TimelineStep(Answer):
    """What all steps of a timeline share."""

    at: Time
    what: str
    words: str
    """The same for people, as the staff pages have it."""


class PlainStep(TimelineStep):
    """The bank signed it; it was proven genuine and stored; or the callback of one that a sweep had found came."""

    what: Literal["signed", "proven", "joined"]


class DeliveryStep(TimelineStep):
    """A callback that told the event."""

    what: Literal["delivery"]
    delivery: str
    verdict: Literal["accepted", "duplicate"]
    conflict: bool
    """It said something else of the event than the first one; it may tell other events for the first time."""
    peer: str
    """Who sent it: an IP address."""


class FoundStep(TimelineStep):
    """A sweep has found it at the bank: no callback had come for it."""

    what: Literal["found"]
    by: Literal["sweep"]


class CheckStep(TimelineStep):
    """A question to the bank about the payment or job, and its answer."""

    what: Literal["check"]
    outcome: str
    """`answered`, or why there is no answer."""
    bank_status: str | None
    detail: dict[str, Any]


class FeedStep(TimelineStep):
    """An entry of the feed that stems from the event; what a replay wrote once more is a step of its own."""

    what: Literal["feed"]
    type: str
    position: int | None
    """Null until it is given."""


class ReplayStep(TimelineStep):
    """A replay wrote an entry of the feed once more."""

    at: Time
    """When it did; the entry itself has the time of its original."""
    what: Literal["replay"]
    replay: str
    """The replay's id."""
    type: str
    position: int | None
    """Null until it is given."""
    consumer: str | None
    """The one consumer that is given it; null where all readers are."""
    requested_by: str | None
    reason: str | None
    """Null without the scope `replays:write`."""


class ConsumerStep(TimelineStep):
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


class ActStep(TimelineStep):
    """Somebody read what the bank sent, held the event, or did something else to it: an entry of the audit log.

    What was done to what needs a person (`exception.…`) is left out without the scope `payments:read`.
    """

    what: Literal["act"]
    act: str
    """As in the audit log, such as `payload.read`; the latest hundred are shown."""
    who: str
    why: str | None
    """Null without the scope `payloads:read`, but for `exception.…`."""


Step = PlainStep | DeliveryStep | FoundStep | CheckStep | FeedStep | ReplayStep | ConsumerStep | ActStep


EXCEPTION_ACTS = "exception."
"""What the acts begin with that are done to what needs a person."""


def _is_for(scopes: Collection[str], happened: event_story.Step) -> bool:
    """Tell whether a step is shown to who has these scopes."""
    done = happened.record
    is_of_exception = isinstance(done, AuditRecord) and done.what.startswith(EXCEPTION_ACTS)
    return Scope.PAYMENTS_READ in scopes or not is_of_exception


def _step(happened: event_story.Step, scopes: Collection[str]) -> Step:
    """Show a step of an event's story to who has these scopes; why somebody did it, where one of them covers that."""
    shared: dict[str, Any] = {"at": happened.at, "words": happened.words}
    match happened.record:
        case EventDelivery() as came:
            fields = {"delivery": came.id, "verdict": came.verdict, "conflict": came.conflict, "peer": came.peer}
            return DeliveryStep(what="delivery", **shared, **fields)
        case CheckRecord() as made:
            return CheckStep(what="check", **{**Check.of(made).shown(), **shared})
        case feed.Entry() as entry:
            return FeedStep(what="feed", **shared, type=entry.type, position=entry.position or None)
        case event_story.Copy(entry, replay_id, replay):
            reason = replay.reason if replay and Scope.REPLAYS_WRITE in scopes else None
            asked = {"requested_by": replay and replay.requested_by, "reason": reason}
            fields = {"type": entry.type, "position": entry.position or None, "consumer": entry.consumer}
            return ReplayStep(what="replay", **shared, replay=replay_id, **fields, **asked)
        case EntrySeen() as seen:
            return ConsumerStep(what="consumer", **{**seen._asdict(), **shared})
        case AuditRecord() as entry:
            may_see_why = entry.what.startswith(EXCEPTION_ACTS) or Scope.PAYLOADS_READ in scopes
            why = entry.why if may_see_why else None
            return ActStep(what="act", **shared, act=entry.what, who=entry.who, why=why)
    if happened.what == "found":
        return FoundStep(what="found", **shared, by="sweep")
    return PlainStep(what=happened.what, **shared)


class Hold(Answer):
    """Who holds an event, since when and why."""

    held_at: Time
    held_by: str
    reason: str | None
    """Null without the scope `payloads:read`."""


class EventWithTimeline(Event):
    """An event and what happened around it."""

    hold: Hold | None
    """Who holds it; null where nobody does."""
    exceptions: list[StaffException] | None
    """What of it needs a person, or did; null without the scope `payments:read`."""
    timeline: list[Step]
    """In the order of time."""

    @classmethod
    def find(cls, runtime: Runtime, event_id: str, scopes: Collection[str] = tuple(Scope)) -> Self:
        """Read an event and what happened around it, as far as one with these scopes may see it.

        Raises:
            NotFound
            StoreUnavailable
        """
        story = event_story.story(runtime, event_id)
        hold = None if story.hold is None else Hold.of(story.hold)
        if hold is not None and Scope.PAYLOADS_READ not in scopes:
            hold = hold.model_copy(update={"reason": None})
        exceptions = [StaffException.made(each, runtime) for each in story.exceptions]
        return cls(
            **dict(Event.of(story.event)),
            hold=hold,
            exceptions=exceptions if Scope.PAYMENTS_READ in scopes else None,
            timeline=[_step(happened, scopes) for happened in story.steps if _is_for(scopes, happened)],
        )


class EventPage(ListPage):
    """Events, newest first. In a list of accounts' numbers only the end is shown, but to who may read payloads."""

    data: list[Event]
    """A page may hold fewer than asked for, and none, though `next` leads to more: it ends after a bounded search."""
    next: str | None
    """The cursor of the next page; null on the last one."""
    complete: bool
    """False for as long as events of before an upgrade are not indexed: older ones may then be missing."""
