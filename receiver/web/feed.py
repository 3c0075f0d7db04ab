"""`/api/v1/feed` and `/api/v1/consumers`: the ordered log, by cursor or by consumer, and how far each has come."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from flask import Response

from receiver.admin import consumers as acts
from receiver.feed.cursors import CursorInvalid, Cursors, read_either
from receiver.feed.read_notes import ConsumerReader, ReadNotes
from receiver.feed.reader import Reader
from receiver.runtime import Runtime
from receiver.store.api_tokens import TokenRecord
from receiver.store.consumer_ranges import Range
from receiver.store.consumers import ConsumerPlace
from receiver.store.feed import Page, Wanted
from receiver.web import auth
from receiver.web.operation import AS_CSV, CSV_TYPE, LINK, Content, Operation, link_to_next, preferred
from receiver.web.problems import Problem
from receiver.web.schemas.base import json_text
from receiver.web.schemas.feed import (
    Acknowledgement,
    Batch,
    Consumer,
    ConsumerPage,
    ConsumerPath,
    ConsumerQuery,
    ConsumersQuery,
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
REMOVED = {
    410: "Entries behind the cursor, or the consumer's position, were removed for their age; `detail` says what to do."
}
NO_CONSUMER = {
    400: "The name or the cursor is not what is taken; `detail` says why.",
    404: "The name holds a slash.",
    409: "The name is new, and the token has as many consumers as it may have.",
}


class Feed:
    """The views of the feed and its consumers."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._reader = Reader(runtime.database, runtime.settings.waiting_readers_max)
        self._cursors = Cursors(runtime.settings.keys, "feed")
        self._notes = ReadNotes(runtime.database)

    @Operation(
        "GET /api/v1/feed", scope="feed:read", query=FeedQuery, answers={200: ENTRIES}, problems=REMOVED, waits=True
    )
    def read_feed(self, token: TokenRecord, query: FeedQuery) -> FeedPage | Response:
        """Entries behind a cursor, oldest first."""
        after = self._cursors.read_number(query.after) if query.after else None
        wanted = Wanted(auth.visible_sources(token, query.source), query.type)
        page = self._reader.read(token.id, after, wanted, query.limit, query.wait)
        return self._answer(page, self._cursors.make(page.through))

    @Operation(
        "GET /api/v1/consumers/<name>/feed",
        scope="feed:read",
        path=ConsumerPath,
        query=ConsumerQuery,
        answers={200: ENTRIES},
        problems=NO_CONSUMER | REMOVED,
        waits=True,
    )
    def read_as_consumer(self, name: str, token: TokenRecord, query: ConsumerQuery) -> FeedPage | Response:
        """Entries behind a consumer's committed position, oldest first; `after` reads ahead of it."""
        cursors = self._cursors_of(name)
        with self._owner_first(name, token):
            asked = cursors.read_place(query.after) if query.after else None
        standing = acts.opened(self._runtime, token.name, name).place
        after, generation = standing if asked is None else asked
        wanted = Wanted(auth.visible_sources(token, []), consumer=name)
        page = self._reader.read(token.id, after, wanted, query.limit, query.wait)
        self._notes.read(ConsumerReader(name, token.name), Range(after, page.through), self._runtime.clock())
        # Of the place that it was read from: once the consumer is moved, what is under way moves it no more.
        return self._answer(page, cursors.make_place(ConsumerPlace(page.through, generation)))

    @Operation(
        "POST /api/v1/consumers/<name>/ack",
        scope="feed:read",
        path=ConsumerPath,
        body=[Acknowledgement],
        answers={200: Position},
        problems=NO_CONSUMER,
    )
    def acknowledge(self, name: str, token: TokenRecord, body: Acknowledgement) -> Position:
        """Commit a consumer's position; it never moves back, nor at all by what was read before a `seek`."""
        cursors = self._cursors_of(name)
        with self._owner_first(name, token):
            place = cursors.read_place(body.cursor)
        reader = ConsumerReader(name, token.name)
        with self._notes.taken(reader) as notes:
            committed = acts.acknowledge(self._runtime, reader, place, notes)
        return Position(consumer=name, cursor=cursors.make_place(committed))

    @Operation(
        "POST /api/v1/consumers/<name>/seek",
        scope="feed:read",
        path=ConsumerPath,
        body=[Place],
        answers={200: Position},
        problems=NO_CONSUMER | REMOVED,
    )
    def seek(self, name: str, token: TokenRecord, body: Place) -> Position:
        """Move a consumer on purpose: to the beginning, the end, a cursor or a time; the audit log notes it."""
        own = self._cursors_of(name)
        to: int | datetime | None
        if body.to in ("beginning", "end"):
            to = 0 if body.to == "beginning" else None
        elif (to := body.time) is None:
            with self._owner_first(name, token):
                to = read_either(body.to, self._cursors, own)
        place = acts.seek(self._runtime, f"token:{token.name}", name, to, token.name)
        return Position(consumer=name, cursor=own.make_place(place))

    @contextmanager
    def _owner_first(self, name: str, token: TokenRecord) -> Iterator[None]:
        """Where the cursor that is read in the block is none, refuse a consumer of another token before that.

        Raises:
            ConsumerOfOther
            CursorInvalid
            StoreUnavailable
        """
        try:
            yield
        except CursorInvalid:
            acts.check_may_use(self._runtime, name, token.name)
            raise

    def _cursors_of(self, name: str) -> Cursors:
        return Cursors(self._runtime.settings.keys, f"consumer:{name}")

    def _answer(self, page: Page, following: str) -> FeedPage | Response:
        """Show a page as JSON, or as the bare array of a batch where that is asked for (CloudEvents JSON batch)."""
        entries = [cloud_event(entry) for entry in page.entries]
        shown = FeedPage.model_construct(data=entries, next=following, has_more=page.has_more)
        if preferred(BATCH_TYPE, CSV_TYPE) != BATCH_TYPE:
            return shown
        link = link_to_next(self._runtime.settings.public_path_prefix, shown)
        return Response(json_text(entries), headers={"Link": link}, content_type=BATCH_TYPE)


class Consumers:
    """The views of consumers."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._cursors = Cursors(runtime.settings.keys, "consumers")

    @Operation("GET /api/v1/consumers", scope="feed:read", query=ConsumersQuery, answers={200: ConsumerPage})
    def list_consumers(self, token: TokenRecord, query: ConsumersQuery) -> ConsumerPage:
        """Consumers that the token may use, by name."""
        behind = self._cursors.read_text(query.cursor) if query.cursor else None
        found = acts.listing(self._runtime, behind=behind, limit=query.limit + 1, token=token.name)
        following = self._cursors.make(found[query.limit - 1].consumer.name) if len(found) > query.limit else None
        return ConsumerPage(data=[self._shown(each) for each in found[: query.limit]], next=following)

    @Operation(
        "GET /api/v1/consumers/<name>",
        scope="feed:read",
        path=ConsumerPath,
        answers={200: Consumer},
        problems={404: "There is no such consumer."},
    )
    def show_consumer(self, name: str, token: TokenRecord) -> Consumer:
        """One consumer: its position, how far it is behind, and whom it belongs to."""
        found = acts.standing(self._runtime, name)
        if found is None:
            raise Problem(404, "There is no such consumer.")
        acts.check_open(found.consumer, token.name)
        return self._shown(found)

    def _shown(self, found: acts.Standing) -> Consumer:
        return Consumer.made(found, self._runtime.settings.keys)
