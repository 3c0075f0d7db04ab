"""Replays: what to send again, and how far that has come."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from receiver.replay import plan as plans
from receiver.store.replays import Selection
from receiver.web.schemas.base import (
    NO_NUL,
    Answer,
    AskedTime,
    Body,
    LeftOut,
    Path,
    PathText,
    ShortText,
    Time,
    left_out,
    one_of,
    such_as,
)
from receiver.web.schemas.feed import ConsumerName
from receiver.web.schemas.wording import SAYS

PER_SECOND_LEAST = 0.01
PER_SECOND_MAX = 10_000
SOURCES_MAX = 100
PLAN_CHARACTERS_MAX = 100_000
"""A plan is longer than other texts: the whole filter stands in it."""

Named = Annotated[ShortText, Field(min_length=1)]
Target = Annotated[str, Field(json_schema_extra={"enum": list(plans.TARGETS)})]


class ReplayFilter(Body):
    """What to send again; what is left out does not restrict."""

    model_config = ConfigDict(extra="forbid")

    source: LeftOut[Named | Annotated[list[Named], Field(max_length=SOURCES_MAX)]] = left_out()
    type: LeftOut[Named] = left_out()
    payment_id: LeftOut[Named] = left_out()
    event_id: LeftOut[Named] = left_out()
    delivery_id: LeftOut[Named] = left_out()
    """A rejected delivery; with the target `verification` only."""
    received_after: LeftOut[AskedTime] = left_out()
    received_before: LeftOut[AskedTime] = left_out()

    @property
    def sources(self) -> list[str]:
        """The sources that were named; none stand for all."""
        return [self.source] if isinstance(self.source, str) else self.source or []

    def selection(self, sources: Sequence[str]) -> Selection:
        """Return what to look for, in these sources."""
        fields = Selection.__dataclass_fields__.keys() - {"sources"}
        return Selection(sources=tuple(sources), **{name: getattr(self, name) for name in fields})


class PlanRequest(Body):
    """Plan a replay: nothing is sent yet."""

    model_config = such_as(dry_run=True, reason="The ledger lost a day.", filter={"source": "bcb"})

    dry_run: Literal[True]
    reason: Annotated[str, Field(min_length=1, max_length=plans.REASON_CHARACTERS_MAX, pattern=NO_NUL)]
    """Why; it is written to the audit log."""
    filter: LeftOut[ReplayFilter] = left_out()
    target: Annotated[Target, one_of(plans.TARGETS)] = Field("feed")
    """`feed`: to the feed again. `bank`: the bank is asked again. `verification`: rejected deliveries, proven anew."""
    consumer: LeftOut[ConsumerName] = left_out()
    """The one consumer that it is for; all where it is left out."""
    per_second: Annotated[float, Field(strict=True, ge=PER_SECOND_LEAST, le=PER_SECOND_MAX)] | None = None
    """How many a second at the most."""

    @model_validator(mode="before")
    @classmethod
    def _is_dry_run(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given.get("dry_run") is not True:
            raise PydanticCustomError(SAYS, "Send `dry_run: true` for a plan first, then the `plan` that it answers.")
        return given


class RunRequest(Body):
    """Run a plan."""

    mark = "plan"

    plan: Annotated[str, Field(min_length=1, max_length=PLAN_CHARACTERS_MAX)]
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
    state: Literal["running", "done", "cancelled"]
    target: Target
    filter: dict[str, Any]
    consumer: str | None
    per_second: float | None
    matched: int = Field(validation_alias="total")
    done: int
    failed: int
    reason: str
    requested_by: str
    created_at: Time
    finished_at: Time | None
