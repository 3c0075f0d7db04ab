"""`GET /api/v1/feed`: the ordered log, by cursor."""

import threading
import time
from collections.abc import Sequence
from urllib.parse import urlencode

from flask import Blueprint, Response, json, jsonify, request

from receiver import representations
from receiver.runtime import Runtime
from receiver.store import feed
from receiver.store.feed import Entry
from receiver.web import auth, parameters
from receiver.web.cursors import Cursors

PAGE = 100
PAGE_MAX = 1000
WAIT_SECONDS_MAX = 30
POLL_SECONDS = 0.25

BATCH_TYPE = "application/cloudevents-batch+json"


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the route over a process's parts."""
    routes = Blueprint("feed", __name__, url_prefix="/api/v1/feed")
    cursors = Cursors(runtime.settings.keys, "feed")
    # A waiting reader holds a thread: at most a quarter of them may, the rest are for callbacks.
    seats = threading.BoundedSemaphore(max(1, runtime.settings.threads // 4))

    @routes.get("")
    def read_feed() -> Response:
        """Entries behind a cursor, oldest first."""
        token = auth.require(runtime, "feed:read")
        cursor = request.args.get("after")
        after = cursors.read_number(cursor) if cursor else 0
        limit = parameters.number("limit", PAGE, 1, PAGE_MAX)
        wait = parameters.number("wait", 0, 0, WAIT_SECONDS_MAX)
        names = auth.visible_sources(token, parameters.texts("source"))
        types = parameters.texts("type")
        entries = _read(runtime, after, limit + 1, names, types)
        if not entries and wait and seats.acquire(blocking=False):
            try:
                entries = _wait(runtime, after, limit + 1, names, types, wait)
            finally:
                seats.release()
        shown = [representations.feed_entry(entry) for entry in entries[:limit]]
        following = cursors.make(entries[:limit][-1].position if entries else after)
        if BATCH_TYPE in request.accept_mimetypes.values():
            query = urlencode(dict(request.args.lists(), after=following), doseq=True)
            path = runtime.settings.public_path_prefix + request.path
            headers = {"Link": f'<{path}?{query}>; rel="next"'}
            return Response(json.dumps(shown), headers=headers, content_type=BATCH_TYPE)
        return jsonify({"data": shown, "next": following, "has_more": len(entries) > limit})

    return routes


def _read(runtime: Runtime, after: int, limit: int, sources: Sequence[str], types: Sequence[str]) -> list[Entry]:
    feed.give_positions(runtime.database)
    with runtime.database.read() as connection:
        return feed.read(connection, after=after, limit=limit, sources=sources, types=types)


def _wait(
    runtime: Runtime, after: int, limit: int, sources: Sequence[str], types: Sequence[str], seconds: int
) -> list[Entry]:
    ends = time.monotonic() + seconds
    while True:
        entries = _read(runtime, after, limit, sources, types)
        if entries or time.monotonic() >= ends:
            return entries
        time.sleep(POLL_SECONDS)
