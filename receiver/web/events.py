"""`/api/v1/events`: what the banks told us."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from receiver import representations
from receiver.feed.cursors import Cursors
from receiver.runtime import Runtime
from receiver.store import events
from receiver.store.api_tokens import TokenRecord
from receiver.store.events import Filter
from receiver.web import auth, parameters, schemas
from receiver.web.describing import Answer, Description, cursor, describes, number, part, shows, text, texts, time
from receiver.web.problems import Problem

PAGE = 100
PAGE_MAX = 1000

EVENT_ID = part("event_id", "The event's id.", "evt_01a1fe381c647449650ebf4481da")
NO_EVENT = {404: "There is no such event, or the token may not see it."}

LIST = Description(
    scope="events:read",
    query=(
        texts("source", "A source's name."),
        text("type", "Such as `bcb.deposit`."),
        text("payment_id", "The payment that it is about."),
        text("event_id", "The event's id."),
        time("received_after", "From this time on."),
        time("received_before", "Before this time."),
        number("limit", "Events in a page.", PAGE, 1, PAGE_MAX, 10),
        cursor("cursor", "The `next` of the page before; repeat the filters with it."),
    ),
    answers={200: shows(schemas.EventPage)},
)
SHOW = Description(
    scope="events:read", path=(EVENT_ID,), answers={200: shows(schemas.EventWithTimeline)}, problems=NO_EVENT
)
RAW = Description(
    scope="payloads:read",
    path=(EVENT_ID,),
    answers={200: Answer("The body, byte for byte.", {"application/octet-stream": None})},
    problems=NO_EVENT,
)


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the routes over a process's parts."""
    routes = Blueprint("events", __name__, url_prefix="/api/v1/events")
    cursors = Cursors(runtime.settings.keys, "events")

    @routes.get("")
    @describes(LIST)
    def list_events() -> Response:
        """Events, newest first."""
        token = auth.require(runtime, "events:read")
        limit = parameters.number("limit", PAGE, 1, PAGE_MAX)
        given = request.args.get("cursor")
        below = cursors.read_text(given) if given else None
        with runtime.database.read() as connection:
            # One more than asked for tells whether there are more, without counting them.
            rows = events.listing(connection, _filter(token), below=below, limit=limit + 1)
        following = cursors.make(rows[limit - 1].id) if len(rows) > limit else None
        return jsonify({"data": [representations.event(row) for row in rows[:limit]], "next": following})

    @routes.get("/<event_id>")
    @describes(SHOW)
    def show_event(event_id: str) -> Response:
        """One event with its timeline."""
        return jsonify(_find(runtime, auth.require(runtime, "events:read"), event_id))

    @routes.get("/<event_id>/raw")
    @describes(RAW)
    def show_raw(event_id: str) -> Response:
        """Return the bytes that the proof covers, as the bank sent them."""
        _find(runtime, auth.require(runtime, "payloads:read"), event_id)
        with runtime.database.read() as connection:
            raw = events.raw(connection, event_id)
        if raw is None:
            raise Problem(404, "The raw payload of this event is not kept.")
        headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": f"attachment; filename={event_id}"}
        return Response(raw, content_type="application/octet-stream", headers=headers)

    return routes


def _filter(token: TokenRecord) -> Filter:
    return Filter(
        sources=auth.visible_sources(token, parameters.texts("source")),
        type=parameters.text("type"),
        payment_id=parameters.text("payment_id"),
        event_id=parameters.text("event_id"),
        received_after=parameters.time("received_after"),
        received_before=parameters.time("received_before"),
    )


def _find(runtime: Runtime, token: TokenRecord, event_id: str) -> dict[str, Any]:
    with runtime.database.read() as connection:
        shown = representations.event_with_timeline(connection, parameters.path_part(event_id))
    if shown is None or not auth.may_see(token, shown["source"]):
        raise Problem(404, "There is no such event.")
    return shown
