"""Replays: what to send again, and how far that has come."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from receiver.model import REASON_CHARACTERS_MAX
from receiver.replay import plan as plans
from receiver.store.replay_selection import Selection
from receiver.store.search import Wanted
from receiver.web.schemas.base import (
    NO_NUL,
    Answer,
    AskedTime,
    Body,
    EntryType,
    LeftOut,
    Path,
    PathText,
    ShortText,
    SourceName,
    Time,
    known,
    left_out,
    one_of,
    such_as,
)
from receiver.web.schemas.feed import ConsumerName
from receiver.web.schemas.wording import SAYS

PER_SECOND_LEAST = 0.01
PER_SECOND_MAX = 10_000
VALUES_MAX = 100
"""Of one filter."""


Named = Annotated[ShortText, Field(min_length=1)]
OneOrMore = LeftOut[Named | Annotated[list[Named], Field(min_length=1, max_length=VALUES_MAX)]]
NamedSource = Annotated[SourceName, Field(min_length=1)]
NamedType = Annotated[EntryType, Field(min_length=1)]
Target = Annotated[str, Field(json_schema_extra={"enum": list(plans.TARGETS)})]


class ReplayFilter(Body):
    """What to send again; what is left out does not restrict."""

    source: LeftOut[NamedSource | Annotated[list[NamedSource], Field(min_length=1, max_length=VALUES_MAX)]] = left_out()
    """Each of these filters takes one value, or a list of them: any will do."""
    type: LeftOut[NamedType | Annotated[list[NamedType], Field(min_length=1, max_length=VALUES_MAX)]] = left_out()
    payment_id: OneOrMore = left_out()
    event_id: OneOrMore = left_out()
    delivery_id: OneOrMore = left_out()
    """A rejected delivery; with the target `verification` only."""
    received_after: LeftOut[AskedTime] = left_out()
    received_before: LeftOut[AskedTime] = left_out()
    q: LeftOut[Named] = left_out()
    """All that this search finds, as `GET /api/v1/events` takes it, among what the other filters choose."""

    @property
    def sources(self) -> list[str]:
        """The sources that were named; none stand for all."""
        return _several(self.source)

    def selection(self, sources: Sequence[str]) -> Selection:
        """Return what to look for, in these sources."""
        return Selection(
            sources=tuple(sources),
            types=_several(self.type),
            payment_ids=_several(self.payment_id),
            event_ids=_several(self.event_id),
            delivery_ids=_several(self.delivery_id),
            received_after=self.received_after,
            received_before=self.received_before,
        )

    def wanted(self, sources: Sequence[str]) -> Wanted | None:
        """Return what to search for, in these sources; none where nothing is searched for."""
        if self.q is None:
            return None
        return Wanted(
            question=self.q,
            source=tuple(sources),
            type=_several(self.type),
            payment_id=_several(self.payment_id),
            event_id=_several(self.event_id),
            received_after=self.received_after,
            received_before=self.received_before,
        )


def _several(given: str | list[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else given or []


def _is_true(given: object) -> object:
    """Refuse all but `true` itself: 1 equals it."""
    if given is not True:
        raise PydanticCustomError(SAYS, "Send `dry_run: true` for a plan first, then the `plan` that it answers.")
    return given


class PlanRequest(Body):
    """Plan a replay: nothing is sent yet."""

    model_config = such_as(dry_run=True, reason="The ledger lost a day.", filter={"source": "bcb"})

    dry_run: Annotated[Literal[True], BeforeValidator(_is_true)]
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS_MAX, pattern=NO_NUL)]
    """Why; it is written to the audit log."""
    filter: LeftOut[ReplayFilter] = left_out()
    """Left out, or `{}`: everything that the token may see."""
    target: Annotated[Target, one_of(plans.TARGETS)] = Field("feed")
    """`feed`: to the feed again. `bank`: the bank is asked again. `verification`: rejected deliveries, proven anew."""
    consumer: LeftOut[Annotated[ConsumerName, known("consumer")]] = left_out()
    """The one consumer that it is for; all where it is left out."""
    per_second: Annotated[float, Field(strict=True, ge=PER_SECOND_LEAST, le=PER_SECOND_MAX)] | None = None
    """How many a second at the most."""

    @model_validator(mode="before")
    @classmethod
    def _say_what_is_missing(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have `dry_run` refused by its own words where it is missing too, among all else that is wrong."""
        return {"dry_run": None, **given}


class RunRequest(Body):
    """Run a plan."""

    mark = "plan"

    plan: Annotated[str, Field(min_length=1, max_length=plans.TOKEN_CHARACTERS_MAX)]
    """The `plan` of the answer to the plan's request, unchanged."""


class ReplayPath(Path):
    """One replay."""

    replay_id: Annotated[PathText, Field(examples=["rpl_01a1fe381c647449650ebf4481da"])]
    """The replay's id."""


class PlanSample(Answer):
    """One of what a plan would send again."""

    source: str
    type: str
    subject: str | None
    time: Time


class Plan(Answer):
    """What a replay would do."""

    matched: int
    from_: Annotated[Time | None, Field(alias="from")]
    """The time of the first."""
    to: Time | None
    """The time of the last."""
    sample: list[PlanSample]
    plan: str
    """Send it to run exactly this."""
    expires_at: Time
    notes: list[str]
    """What of it is stored no longer, in words."""

    @classmethod
    def made(cls, plan: plans.Plan, names: Mapping[int, str]) -> Self:
        """Show a plan; `names` are those of the sources, by their number."""
        return cls(
            matched=plan.matched.number,
            from_=plan.matched.first,
            to=plan.matched.last,
            sample=[_sample(found, names[found.source_id]) for found in plan.sample],
            plan=plan.token,
            expires_at=plan.expires_at,
            notes=list(plan.notes),
        )


def _sample(found: Any, source: str) -> PlanSample:
    """Show a feed entry or, where it has no time of its own, a rejected delivery."""
    time: datetime | None = getattr(found, "time", None)
    if time is None:
        return PlanSample(source=source, type="delivery.rejected", subject=found.id, time=found.received_at)
    return PlanSample(source=source, type=found.type, subject=found.subject, time=time)


class Replay(Answer):
    """A replay and how far it has come."""

    id: str
    state: Literal["awaiting_approval", "running", "paused", "done", "cancelled"]
    """`awaiting_approval`: it is large, and runs once a second person has approved it."""
    target: Target
    filter: dict[str, Any]
    consumer: str | None
    per_second: float | None
    matched: int = Field(validation_alias="total")
    done: int
    failed: int
    missing: int
    """Of one that is done: how many were stored no longer, or no longer among the rejected, when it came to them."""
    reason: str
    requested_by: str
    approved_by: str | None
    """The second person, where one was needed."""
    created_at: Time
    approved_at: Time | None
    finished_at: Time | None
