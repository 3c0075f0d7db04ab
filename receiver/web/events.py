"""`/api/v1/events`: what the banks told us."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from receiver import representations
from receiver.runtime import Runtime
from receiver.store import events
from receiver.store.api_tokens import TokenRecord
from receiver.store.events import Filter
from receiver.web import auth, parameters
from receiver.web.cursors import Cursors
from receiver.web.problems import Problem

PAGE = 100
PAGE_MAX = 1000


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the routes over a process's parts."""
    routes = Blueprint("events", __name__, url_prefix="/api/v1/events")
    cursors = Cursors(runtime.settings.keys, "events")

    @routes.get("")
    def list_events() -> Response:
        """Events, newest first."""
        token = auth.require(runtime, "events:read")
        limit = parameters.number("limit", PAGE, 1, PAGE_MAX)
        cursor = request.args.get("cursor")
        below = cursors.read_text(cursor) if cursor else None
        with runtime.database.read() as connection:
            # One more than asked for tells whether there are more, without counting them.
            rows = events.listing(connection, _filter(token), below=below, limit=limit + 1)
        following = cursors.make(rows[limit - 1].id) if len(rows) > limit else None
        return jsonify({"data": [representations.event(row) for row in rows[:limit]], "next": following})

    @routes.get("/<event_id>")
    def show_event(event_id: str) -> Response:
        """One event with its timeline."""
        return jsonify(_find(runtime, auth.require(runtime, "events:read"), event_id))

    @routes.get("/<event_id>/raw")
    def show_raw(event_id: str) -> Response:
        """The bytes that the proof covers, as the bank sent them."""
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
