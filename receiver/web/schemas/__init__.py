"""The shapes of what goes in and out, for the description of the API. Answers may gain fields."""

from receiver.web.schemas.base import Problem
from receiver.web.schemas.feed import Acknowledgement, Batch, Entry, FeedPage, Place, Position
from receiver.web.schemas.replays import (
    PER_SECOND_LEAST,
    PER_SECOND_MAX,
    PLAN_CHARACTERS_MAX,
    SOURCES_MAX,
    Plan,
    PlanRequest,
    PlanSample,
    Replay,
    ReplayFilter,
    RunRequest,
)
from receiver.web.schemas.service import Health, Index, OpenApi
from receiver.web.schemas.told import (
    Check,
    CheckStep,
    DeliveryStep,
    Event,
    EventPage,
    EventWithTimeline,
    FeedStep,
    Payment,
    PaymentPage,
    PaymentWithChecks,
    Taken,
)

__all__ = [
    "PER_SECOND_LEAST",
    "PER_SECOND_MAX",
    "PLAN_CHARACTERS_MAX",
    "SOURCES_MAX",
    "Acknowledgement",
    "Batch",
    "Check",
    "CheckStep",
    "DeliveryStep",
    "Entry",
    "Event",
    "EventPage",
    "EventWithTimeline",
    "FeedPage",
    "FeedStep",
    "Health",
    "Index",
    "OpenApi",
    "Payment",
    "PaymentPage",
    "PaymentWithChecks",
    "Place",
    "Plan",
    "PlanRequest",
    "PlanSample",
    "Position",
    "Problem",
    "Replay",
    "ReplayFilter",
    "RunRequest",
    "Taken",
]
