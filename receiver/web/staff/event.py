"""One event: what happened around it, the claim beside the bank's word, its payload on request, its evidence."""

import json

from flask import Response

from receiver.admin import differences, event_story, evidence
from receiver.admin import events as acts
from receiver.admin.sessions import Visitor
from receiver.model import NotPossible, Role
from receiver.runtime import Runtime
from receiver.store.thread_pool import run_in_thread
from receiver.web.problems import Problem
from receiver.web.schemas.times import rfc3339
from receiver.web.staff.events import shown_to
from receiver.web.staff.forms import field
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import render, url

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
            fragment="timeline",
            event=event,
            story=story,
            beside=shown_to(visitor, story.beside),
            marks=MARKS,
            since=rfc3339(event.received_at),
            may_act=visitor.may(Role.OPERATOR),
            may_read=visitor.payloads,
        )

    @Page("POST /events/<event_id>/payload", payloads=True)
    def payload(self, visitor: Visitor, event_id: str) -> Response:
        """Show what the bank sent, decrypted, with a reason; the audit log notes both."""
        reason = self._reason()
        text = run_in_thread(acts.payload, self._runtime, visitor.who, event_id, reason)
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
        reason = self._reason()
        found = run_in_thread(acts.contents, self._runtime, visitor.who, event_id, reason)
        rows = differences.compared([content.text for content in found])
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

    def _reason(self) -> str:
        try:
            return acts.reason_given(field("reason"))
        except NotPossible as error:
            raise Problem(400, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def _file(text: str, name: str, content_type: str) -> Response:
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return Response(text, headers=headers, content_type=content_type)
