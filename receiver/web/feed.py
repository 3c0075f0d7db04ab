"""`/api/v1/feed` and `/api/v1/consumers/<name>/…`: the ordered log, by cursor or by named consumer."""

from datetime import datetime

from flask import Response, request

from receiver.admin import consumers as acts
from receiver.feed.cursors import CursorInvalid, Cursors
from receiver.feed.reader import Reader, check_given_out
from receiver.runtime import Runtime
from receiver.store import consumers, feed
from receiver.store.api_tokens import TokenRecord
from receiver.store.feed import Page, Wanted
from receiver.web import auth
from receiver.web.operation import AS_CSV, LINK, Content, Operation, link_to_next
from receiver.web.schemas.base import json_text
from receiver.web.schemas.feed import (
    Acknowledgement,
    Batch,
    ConsumerPath,
    ConsumerQuery,
    FeedPage,
    FeedQuery,
    Place,
    Position,
    cloud_event,
)

BATCH_TYPE = "application/cloudevents-batch+json"

ENTRIES = Content(
    "Entries, oldest first. The bare array, and CSV, have their cursor in `Link`.",
    {"application/json": FeedPage, BATCH_TYPE: Batch, **AS_CSV},
    LINK,
)
NO_CONSUMER = {400: "The name or the cursor is not what is taken; `detail` says why.", 404: "The name holds a slash."}


class Feed:
    """The views of the feed and its consumers."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._database = runtime.database
        self._reader = Reader(runtime.database, runtime.settings.waiting_readers_max)
        self._cursors = Cursors(runtime.settings.keys, "feed")

    @Operation("GET /api/v1/feed", scope="feed:read", query=FeedQuery, answers={200: ENTRIES}, waits=True)
    def read_feed(self, token: TokenRecord, query: FeedQuery) -> FeedPage | Response:
        """Entries behind a cursor, oldest first."""
        after = self._cursors.read_number(query.after) if query.after else 0
        wanted = Wanted(auth.visible_sources(token, query.source), query.type)
        return self._answer(self._reader.read(token.id, after, wanted, query.limit, query.wait), self._cursors)

    @Operation(
        "GET /api/v1/consumers/<name>/feed",
        scope="feed:read",
        path=ConsumerPath,
        query=ConsumerQuery,
        answers={200: ENTRIES},
        problems=NO_CONSUMER,
        waits=True,
    )
    def read_as_consumer(self, name: str, token: TokenRecord, query: ConsumerQuery) -> FeedPage | Response:
        """Entries behind a consumer's committed position, oldest first; `after` reads ahead of it."""
        cursors = self._cursors_of(name)
        after = cursors.read_number(query.after) if query.after else self._position(name)
        wanted = Wanted(auth.visible_sources(token, []), consumer=name)
        return self._answer(self._reader.read(token.id, after, wanted, query.limit, query.wait), cursors)

    @Operation(
        "POST /api/v1/consumers/<name>/ack",
        scope="feed:read",
        path=ConsumerPath,
        body=[Acknowledgement],
        answers={200: Position},
        problems=NO_CONSUMER,
    )
    def acknowledge(self, name: str, token: TokenRecord, body: Acknowledgement) -> Position:  # noqa: ARG002
        """Commit a consumer's position; it never moves back."""
        cursors = self._cursors_of(name)
        position = cursors.read_number(body.cursor)
        with self._database.write() as connection:
            check_given_out(position, feed.head(connection))
            committed = consumers.acknowledge(connection, name, position, self._runtime.clock())
        return Position(consumer=name, cursor=cursors.make(committed))

    @Operation(
        "POST /api/v1/consumers/<name>/seek",
        scope="feed:read",
        path=ConsumerPath,
        body=[Place],
        answers={200: Position},
        problems=NO_CONSUMER,
    )
    def seek(self, name: str, token: TokenRecord, body: Place) -> Position:
        """Move a consumer on purpose: to the beginning, the end, a cursor or a time; the audit log notes it."""
        own = self._cursors_of(name)
        to: int | datetime | None
        if body.to in ("beginning", "end"):
            to = 0 if body.to == "beginning" else None
        elif (to := body.time) is None:
            to = _read_either(body.to, self._cursors, own)
        position = acts.seek(self._runtime, f"token:{token.name}", name, to)
        return Position(consumer=name, cursor=own.make(position))

    def _cursors_of(self, name: str) -> Cursors:
        return Cursors(self._runtime.settings.keys, f"consumer:{name}")

    def _position(self, name: str) -> int:
        """Return a consumer's committed position; a new name begins at the beginning."""
        with self._database.read() as connection:
            position = consumers.position_of(connection, name)
        if position is None:
            with self._database.write() as connection:
                consumers.create(connection, name, self._runtime.clock())
        return position or 0

    def _answer(self, page: Page, cursors: Cursors) -> FeedPage | Response:
        """Show a page as JSON, or as the bare array of a batch where that is asked for (CloudEvents JSON batch)."""
        entries = [cloud_event(entry) for entry in page.entries]
        shown = FeedPage.model_construct(data=entries, next=cursors.make(page.through), has_more=page.has_more)
        if BATCH_TYPE not in request.accept_mimetypes.values():
            return shown
        link = link_to_next(self._runtime.settings.public_path_prefix, shown)
        return Response(json_text(entries), headers={"Link": link}, content_type=BATCH_TYPE)


def _read_either(given: str, one: Cursors, other: Cursors) -> int:
    """Read a cursor that either of two lists gave out.

    Raises:
        CursorInvalid
    """
    try:
        return one.read_number(given)
    except CursorInvalid:
        return other.read_number(given)
