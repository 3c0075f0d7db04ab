"""What the form of a replay takes: all that events are searched by, where to send it, and why."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from werkzeug.datastructures import MultiDict

from receiver.admin import replays as acts
from receiver.admin.sessions import Visitor
from receiver.model import REASON_CHARACTERS_MAX, ReplayTarget
from receiver.replay.plan import Plan, PlanWrong, Request
from receiver.runtime import Runtime
from receiver.store.replay_selection import Selection
from receiver.web.schemas.base import NO_NUL, EntryType, LeftOut, ShortText, known, left_out, one_of
from receiver.web.schemas.events import EventQuery
from receiver.web.schemas.feed import ConsumerName
from receiver.web.schemas.replays import PER_SECOND_LEAST, PER_SECOND_MAX
from receiver.web.staff.lists import as_given

TARGETS = (
    (str(ReplayTarget.FEED), "to the feed, for apps to read"),
    (str(ReplayTarget.BANK), "ask the bank what it says now"),
    (str(ReplayTarget.VERIFICATION), "verify rejected deliveries"),
)

SEARCHED = tuple(name for name in EventQuery.model_fields if name not in ("limit", "cursor"))
"""The names of what events are searched by."""

OPEN_FIELDS = ("q", "received_after", "received_before")
"""What the form has a box of its own for, filled with what was given."""

LABELS = {"q": "search", "event_id": "event", "payment_id": "payment", "delivery_id": "delivery", "chosen": ""}


class PlanForm(EventQuery):
    """What to send again, where to and why."""

    type: list[EntryType] = Field(default_factory=list)
    delivery_id: list[ShortText] = Field(default_factory=list)
    target: Annotated[str, one_of(tuple(name for name, _ in TARGETS))] = str(ReplayTarget.FEED)
    consumer: LeftOut[Annotated[ConsumerName, known("consumer")]] = left_out()
    per_second: Annotated[float, Field(ge=PER_SECOND_LEAST, le=PER_SECOND_MAX)] | None = None
    reason: Annotated[str, Field(max_length=REASON_CHARACTERS_MAX, pattern=NO_NUL)] = ""

    def plan(self, runtime: Runtime, visitor: Visitor) -> Plan:
        """Plan what was asked for, as far as the visitor may search.

        Raises:
            PlanWrong
            StoreUnavailable
        """
        if self.target == ReplayTarget.VERIFICATION or self.delivery_id:
            return acts.plan(runtime, self._request(self._of_deliveries()))
        wanted, request = self.wanted(self.source), self._request(Selection())
        return acts.plan_found(runtime, wanted, request, spares_private=not visitor.payloads)

    def _request(self, selection: Selection) -> Request:
        return Request(selection, self.reason, self.target, self.consumer, self.per_second)

    def _of_deliveries(self) -> Selection:
        fitting = ("source", "received_after", "received_before")
        foreign = [name for name in SEARCHED if name not in fitting and getattr(self, name) not in (None, "", [])]
        if foreign:
            raise PlanWrong(
                "Rejected deliveries are chosen by source, delivery or time; take away: "
                + ", ".join(name.replace("_", " ") for name in foreign)
                + "."
            )
        return Selection(
            sources=self.source,
            delivery_ids=self.delivery_id,
            received_after=self.received_after,
            received_before=self.received_before,
        )

    def given(self) -> dict[str, Any]:
        """Return what was given, as an address has it."""
        fields = (*SEARCHED, "delivery_id", "target", "consumer", "per_second", "reason")
        found = {name: as_given(getattr(self, name)) for name in fields}
        return {name: value for name, value in found.items() if value not in ("", [], None)}

    def shown(self) -> list[tuple[str, str]]:
        """Return what is to be sent again, in words."""
        given = {name: value for name, value in self.given().items() if name in (*SEARCHED, "delivery_id")}
        return [(label, value) for _, label, value in _pairs(given)]


def chosen(typed: MultiDict[str, str]) -> list[tuple[str, str, str]]:
    """Return each thing that is to be sent again, to be ticked off: field, label, value; as it was typed."""
    named = [name for name in (*SEARCHED, "delivery_id") if name not in OPEN_FIELDS]
    given = {name: [text for value in typed.getlist(name) if (text := value.strip())] for name in named}
    return _pairs(given)


def shown_filter(written: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the stored filter of a replay in words: label and value."""
    given = {name: value for name, value in written.items() if name not in ("search", "chosen")}
    given |= written.get("search", {})
    return [(label, value) for _, label, value in _pairs(given)]


def _pairs(given: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (name, LABELS.get(name, name.replace("_", " ")), str(each))
        for name, value in given.items()
        for each in (value if isinstance(value, list) else [as_given(value)])
    ]
