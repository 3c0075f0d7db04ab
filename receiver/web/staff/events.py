"""Events: the list with the one search box, its filters as chips, results as one types."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Response

from receiver.admin import search
from receiver.admin.names import Names
from receiver.admin.sessions import Visitor
from receiver.model import Agreement, ProofStrength, Role, Status
from receiver.runtime import Runtime
from receiver.store.events import EventRecord
from receiver.store.search import Wanted
from receiver.web.schemas.times import rfc3339
from receiver.web.staff import lists
from receiver.web.staff.lists import at_its_address
from receiver.web.staff.page import Page
from receiver.web.staff.rendering import render
from receiver.web.staff.sources import names

FILTERS = ("source", "type", "status", "proof", "agreement", "currency", "account", "reference", "payment_id")
RANGES = ("event_id", "amount_min", "amount_max", "conflict", "late", "received_after", "received_before")

WORDS = {
    "status": tuple(map(str, Status)),
    "proof": tuple(map(str, ProofStrength)),
    "agreement": tuple(map(str, Agreement)),
}


def shown_to(visitor: Visitor, events: Sequence[EventRecord]) -> list[EventRecord]:
    """Return events as somebody may see them: of accounts the last characters, but to who may read payloads."""
    return list(events) if visitor.payloads else [search.masked(event) for event in events]


def _as_asked(wanted: Wanted) -> dict[str, Any]:
    """Return what is searched for as an address has it, to send all of it again."""
    given = {name: value for name, value in asdict(wanted).items() if value not in (None, "", [], ())}
    if "question" in given:
        given["q"] = given.pop("question")
    return {name: _text(value) for name, value in given.items()}


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, list) else str(value)


class Events:
    """The view of the list of events."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    @Page("GET /events")
    def events(self, visitor: Visitor) -> Response:
        """List events, the newest first: all, or those that are searched for."""
        wanted = self._wanted()
        below = lists.one("below") or None
        found = search.find_events(self._runtime, wanted, place=below, limit=lists.PAGE)
        return at_its_address(
            render(
                "events.html",
                "Events",
                fragment="found",
                rows=shown_to(visitor, found.events),
                following=found.place,
                older_left=found.older_left,
                below=below,
                question=wanted.question,
                chips=lists.chips(*FILTERS, *RANGES),
                presets=lists.presets(self._runtime.clock()),
                words=WORDS,
                sources=names(self._runtime),
                after=lists.for_field(wanted.received_after),
                before=lists.for_field(wanted.received_before),
                is_all=wanted == Wanted(),
                filters=_as_asked(wanted),
                may_act=visitor.may(Role.OPERATOR),
            )
        )

    def _wanted(self) -> Wanted:
        """Read what is searched for.

        Raises:
            Problem: 400
            NameUnknown
        """
        given: dict[str, Any] = {name: lists.several(name, WORDS.get(name, ())) for name in (*FILTERS, "event_id")}
        known = Names(self._runtime.database)
        known.check_all("source", given["source"])
        known.check_all("event type", given["type"])
        return Wanted(
            question=lists.one("q"),
            amount_min=lists.amount("amount_min"),
            amount_max=lists.amount("amount_max"),
            conflict=lists.truth("conflict"),
            late=lists.truth("late"),
            received_after=lists.time("received_after"),
            received_before=lists.time("received_before"),
            **given,
        )
