"""Replays."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from receiver.replay.plan import REASON_CHARACTERS_MAX
from receiver.store import consumers
from receiver.web.schemas.base import Shape, ShortText, Target, left_out, such_as

PER_SECOND_LEAST = 0.01
PER_SECOND_MAX = 10_000
SOURCES_MAX = 100
PLAN_CHARACTERS_MAX = 100_000


class ReplayFilter(Shape):
    """What to send again; what is left out does not restrict."""

    model_config = ConfigDict(extra="forbid")

    source: ShortText | Annotated[list[ShortText], Field(max_length=SOURCES_MAX)] = left_out()
    type: ShortText = left_out()
    payment_id: ShortText = left_out()
    event_id: ShortText = left_out()
    delivery_id: ShortText = left_out()
    """A rejected delivery; with the target `verification` only."""
    received_after: datetime = left_out()
    received_before: datetime = left_out()


class PlanRequest(Shape):
    """Plan a replay: nothing is sent yet."""

    model_config = such_as(dry_run=True, reason="The ledger lost a day.", filter={"source": "bcb"})

    dry_run: Literal[True]
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS_MAX)]
    """Why; it is written to the audit log."""
    filter: ReplayFilter = left_out()
    target: Target = Field("feed")
    """`feed`: to the feed again. `bank`: the bank is asked again. `verification`: rejected deliveries, proven anew."""
    consumer: Annotated[str, Field(pattern=f"^{consumers.NAME.pattern}$")] = left_out()
    """The one consumer that it is for; all where it is left out."""
    per_second: Annotated[float, Field(ge=PER_SECOND_LEAST, le=PER_SECOND_MAX)] | None = None
    """How many a second at the most."""


class RunRequest(Shape):
    """Run a plan."""

    plan: Annotated[str, Field(min_length=1, max_length=PLAN_CHARACTERS_MAX)]
    """The `plan` of the answer to the plan's request, unchanged."""


class PlanSample(Shape):
    """One of what a plan would send again."""

    source: str
    type: str
    subject: str | None
    time: datetime


class Plan(Shape):
    """What a replay would do."""

    matched: int
    from_: Annotated[datetime | None, Field(alias="from")]
    """The time of the first."""
    to: datetime | None
    """The time of the last."""
    sample: list[PlanSample]
    plan: str
    """Send it to run exactly this."""
    expires_at: datetime


class Replay(Shape):
    """A replay and how far it has come."""

    id: str
    state: Literal["running", "done", "cancelled"]
    target: Target
    filter: dict[str, Any]
    consumer: str | None
    per_second: float | None
    matched: int
    done: int
    failed: int
    reason: str
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
