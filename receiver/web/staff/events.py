"""Events: the list with the one search box, and one event: its timeline, claim and word, payload and evidence."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flask import Response

from receiver.admin import conflicts, event_story, evidence, payments, search
from receiver.admin import events as acts
from receiver.admin.names import Names
from receiver.admin.sessions import Visitor
from receiver.model import REASON_CHARACTERS_MAX, Agreement, ProofStrength, Role, Status
from receiver.runtime import Runtime
from receiver.store.events import EventRecord
from receiver.store.payments import CheckRecord
from receiver.store.search import Wanted
from receiver.web.schemas.times import rfc3339
from receiver.web.staff import lists
from receiver.web.staff.forms import field
from receiver.web.staff.lists import at_its_address
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import render, url
from receiver.web.staff.sources import names

FILTERS = ("source", "type", "status", "proof", "agreement", "currency", "account", "reference", "payment_id")
RANGES = ("event_id", "amount_min", "amount_max", "conflict", "late", "received_after", "received_before")

WORDS = {
    "status": tuple(map(str, Status)),
    "proof": tuple(map(str, ProofStrength)),
    "agreement": tuple(map(str, Agreement)),
}


def shown_to(visitor: Visitor, events: Sequence[EventRecord]) -> list[EventRecord]:
    """Return events as somebody may see them: whole to who may read payloads, else of accounts the last characters.

    Names and the payer's words are for who may read payloads too.
    """
    return list(events) if visitor.payloads else [search.masked(event, with_texts=False) for event in events]


def _as_asked(wanted: Wanted) -> dict[str, Any]:
    """Return what is searched for as an address has it, to send all of it again."""
    given = {name: value for name, value in asdict(wanted).items() if value not in (None, "", [], ())}
    if "question" in given:
        given["q"] = given.pop("question")
    return {name: lists.as_given(value) for name, value in given.items()}


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
        found = search.find_events(
            self._runtime, wanted, place=below, limit=lists.PAGE, spares_private=not visitor.payloads
        )
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


MARKS = {
    "conflict": "bad",
    "repeated": "info",
    "checked": "info",
    "sent_again": "warn",
    "proven": "good",
    "acked": "good",
}
"""The colours of what happened."""

SHOWN_CHARACTERS_MAX = 200_000
"""Of a payload on a page; the whole of it is at the API."""


class Event:
    """The views of one event."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    @Page("GET /events/<event_id>")
    def event(self, visitor: Visitor, event_id: str) -> Response:
        """Show an event and all that happened around it."""
        story = event_story.story(self._runtime, event_id)
        (event,) = shown_to(visitor, [story.event])
        return render(
            "event.html",
            event.type,
            fragment=("agreement", "bank", "needs", "timeline"),
            event=event,
            story=story,
            said=_said(visitor, story.answer),
            following=None if story.subject is None else payments.next_checks(self._runtime)(story.subject),
            beside=shown_to(visitor, story.beside),
            marks=MARKS,
            since=rfc3339(event.received_at),
            may_act=visitor.may(Role.OPERATOR),
            may_read=visitor.payloads,
        )

    @Page("POST /events/<event_id>/payload", payloads=True)
    def payload(self, visitor: Visitor, event_id: str) -> Response:
        """Show what the bank sent, decrypted, with a reason; the audit log notes both."""
        reason = field("reason", most=REASON_CHARACTERS_MAX)
        text = acts.payload(self._runtime, visitor.who, event_id, reason)
        cut = f"The first {SHOWN_CHARACTERS_MAX} characters." if len(text) > SHOWN_CHARACTERS_MAX else ""
        return render(
            "payload.html",
            f"Payload of {event_id}",
            text=text[:SHOWN_CHARACTERS_MAX],
            about=cut,
            back=url("events", event_id),
        )

    @Page("POST /events/<event_id>/hold", role=Role.OPERATOR)
    def hold(self, visitor: Visitor, event_id: str) -> Response:
        """Put an event on hold with a reason, so that nothing of it is removed; the audit log notes it."""
        message = "On hold: nothing of it is removed."
        return done(
            lambda: acts.hold(self._runtime, visitor.who, event_id, field("reason")), url("events", event_id), message
        )

    @Page("POST /events/<event_id>/release", role=Role.OPERATOR)
    def release(self, visitor: Visitor, event_id: str) -> Response:
        """Release an event that is on hold; the audit log notes it."""
        message = "Released: it goes as everything else of its age."
        return done(
            lambda: acts.release(self._runtime, visitor.who, event_id, field("reason", needed=False) or None),
            url("events", event_id),
            message,
        )

    @Page("POST /events/<event_id>/contents", payloads=True)
    def contents(self, visitor: Visitor, event_id: str) -> Response:
        """Lay the contents of an event side by side, with a reason; the audit log notes both."""
        reason = field("reason", most=REASON_CHARACTERS_MAX)
        found = acts.contents(self._runtime, visitor.who, event_id, reason)
        rows = conflicts.compared([content.text for content in found])
        return render("contents.html", f"Contents of {event_id}", event_id=event_id, contents=found, rows=rows)

    @Page("GET /events/<event_id>/evidence.json")
    def evidence_json(self, visitor: Visitor, event_id: str) -> Response:
        """Hand out the evidence packet for programs; the audit log notes it."""
        packed = evidence.packet(self._runtime, visitor.who, event_id)
        return _file(json.dumps(packed, indent=2), f"evidence-{event_id}.json", "application/json")

    @Page("GET /events/<event_id>/evidence.md")
    def evidence_markdown(self, visitor: Visitor, event_id: str) -> Response:
        """Hand out the evidence packet for people; the audit log notes it."""
        packed = evidence.packet(self._runtime, visitor.who, event_id)
        return _file(evidence.markdown(packed), f"evidence-{event_id}.md", "text/markdown; charset=utf-8")


def _said(visitor: Visitor, answer: CheckRecord | None) -> dict[str, Any]:
    """Return what the bank has answered as somebody may see it."""
    if answer is None:
        return {}
    return search.detail(answer) if visitor.payloads else search.masked_detail(answer)


def _file(text: str, name: str, content_type: str) -> Response:
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return Response(text, headers=headers, content_type=content_type)
