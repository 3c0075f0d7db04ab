"""`/api/v1/events`: what the banks told us, as it came, and one notification alone, decrypted."""

from flask import Response, request

from receiver.admin import events as acts
from receiver.admin import search
from receiver.feed.cursors import Cursors
from receiver.model import NotFound, Scope
from receiver.runtime import Runtime
from receiver.store import events
from receiver.store.api_tokens import TokenRecord
from receiver.web import auth
from receiver.web.operation import Content, Operation
from receiver.web.problems import Problem
from receiver.web.request_body import RequestBodies
from receiver.web.schemas.events import Event, EventPage, EventPath, EventQuery, EventWithTimeline, ReadingQuery

NO_EVENT = {404: "There is no such event, or the token may not see it."}
RAW = Content("The body, byte for byte.", {"application/octet-stream": None})


class Events:
    """The views of events."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._database = runtime.database
        self._cursors = Cursors(runtime.settings.keys, "events")

    @Operation("GET /api/v1/events", scope="events:read", query=EventQuery, answers={200: EventPage})
    def list_events(self, token: TokenRecord, query: EventQuery) -> EventPage:
        """Events, newest first: all, or those that are searched for."""
        place = self._cursors.read_text(query.cursor) if query.cursor else None
        wanted = query.wanted(auth.visible_sources(token, query.source))
        found = search.find_events(self._runtime, wanted, place=place, limit=query.limit)
        shown = found.events if Scope.PAYLOADS_READ in token.scopes else map(search.masked, found.events)
        return EventPage(
            data=[Event.of(event) for event in shown],
            next=self._cursors.make(found.place) if found.place is not None else None,
            complete=found.older_left == 0,
        )

    @Operation(
        "GET /api/v1/events/<event_id>",
        scope="events:read",
        path=EventPath,
        answers={200: EventWithTimeline},
        problems=NO_EVENT,
    )
    def show_event(self, event_id: str, token: TokenRecord) -> EventWithTimeline:
        """One event with its timeline: who sent it, what the bank says, who read it and who did something to it."""
        self._check(event_id, token)
        return EventWithTimeline.find(self._runtime, event_id, token.scopes)

    @Operation(
        "GET /api/v1/events/<event_id>/raw",
        scope="payloads:read",
        path=EventPath,
        query=ReadingQuery,
        answers={200: RAW},
        problems=NO_EVENT | {410: "The payload is not stored any more."},
    )
    def show_raw(self, event_id: str, token: TokenRecord, query: ReadingQuery) -> Response:
        """Return the bytes that the proof covers, as the bank sent them; the audit log notes it."""
        self._check(event_id, token)
        raw = acts.raw(self._runtime, f"token:{token.name}", event_id, query.reason)
        headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": f"attachment; filename={event_id}"}
        return Response(raw, content_type="application/octet-stream", headers=headers)

    def _check(self, event_id: str, token: TokenRecord) -> None:
        """See that there is an event which the token may see, before anything is written for it."""
        with self._database.read() as connection:
            found = events.find(connection, event_id)
        if found is None or not auth.may_see(token, found.source):
            raise Problem(404, "There is no such event.")


HELD_TIMES = 3
"""How many times its size a body takes of the quota while it is opened and read."""

PAYLOAD = Content("The notification, as the bank wrote it but for white space.", {"application/json": None})


class Payloads:
    """The view of payloads."""

    def __init__(self, runtime: Runtime, bodies: RequestBodies) -> None:
        """Take a process's parts, and the quota of bodies that callbacks share."""
        self._runtime = runtime
        self._bodies = bodies

    @Operation(
        "GET /api/v1/events/<event_id>/payload",
        scope="payloads:read",
        path=EventPath,
        query=ReadingQuery,
        answers={200: PAYLOAD},
        problems={
            404: "There is no such event, or the token may not see it.",
            409: "The event's source is of a bank that this release does not know.",
            410: "The payload is not stored any more, or no stored key opens it.",
        },
    )
    def show_payload(self, event_id: str, token: TokenRecord, query: ReadingQuery) -> Response:
        """Return this notification alone, decrypted, as JSON with indents; the audit log notes it."""
        try:
            event, size = acts.stored(self._runtime, event_id)
        except NotFound as error:
            raise Problem(404, "There is no such event.") from error
        if not auth.may_see(token, event.source):
            raise Problem(404, "There is no such event.")
        return Response(f"{self._opened(event_id, token, size, query.reason)}\n", content_type="application/json")

    def _opened(self, event_id: str, token: TokenRecord, size: int, reason: str | None) -> str:
        """Open a payload within the quota of what a process holds."""
        who = f"token:{token.name}"
        with self._bodies.holding(request.remote_addr or "") as held:
            # Who shows a token is no stranger, and needs no share.
            held.has_share = False
            held.more(HELD_TIMES * size)
            return acts.payload(self._runtime, who, event_id, reason)
