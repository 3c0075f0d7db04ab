"""`/api/v1/feed` and `/api/v1/consumers/<name>/…`: the ordered log, by cursor or by named consumer."""

from datetime import datetime
from urllib.parse import urlencode

from flask import Blueprint, Response, json, jsonify, request

from receiver import representations
from receiver.feed.cursors import Cursors
from receiver.feed.reader import Reader, check_given_out
from receiver.runtime import Runtime
from receiver.store import consumers, feed
from receiver.store.feed import Page, Wanted
from receiver.web import auth, parameters, schemas
from receiver.web.describing import Answer, Body, Description, cursor, describes, number, part, shows, texts
from receiver.web.problems import Problem

PAGE = 100
PAGE_MAX = 1000
WAIT_SECONDS_MAX = 30
BATCH_TYPE = "application/cloudevents-batch+json"

AMOUNT = (
    number("limit", "Entries in a page.", PAGE, 1, PAGE_MAX, 10),
    number(
        "wait", "Seconds to hold the request until an entry comes, if there is none yet.", 0, 0, WAIT_SECONDS_MAX, 5
    ),
)
ENTRIES = Answer(
    "Entries, oldest first. The bare array has its cursor in `Link`.",
    {"application/json": schemas.FeedPage, BATCH_TYPE: schemas.Batch},
    {"Link": '`<…>; rel="next"`, with the bare array only.'},
)
NAME = part("name", "The consumer's name; it comes to be on first use.", "ledger", consumers.NAME.pattern)
NO_CONSUMER = {400: "The name or the cursor is not what is taken; `detail` says why.", 404: "The name holds a slash."}

READ = Description(
    scope="feed:read",
    query=(
        cursor("after", "The `next` of the page before; without it, from the beginning."),
        *AMOUNT,
        texts("source", "A source's name."),
        texts("type", "Such as `bcb.deposit`."),
    ),
    answers={200: ENTRIES},
)
READ_AS_CONSUMER = Description(
    scope="feed:read",
    path=(NAME,),
    query=(cursor("after", "The `next` of a page of this consumer, to read ahead of its position."), *AMOUNT),
    answers={200: ENTRIES},
    problems=NO_CONSUMER,
)
ACKNOWLEDGE = Description(
    scope="feed:read",
    path=(NAME,),
    body=Body("How far the consumer has come.", [schemas.Acknowledgement]),
    answers={200: shows(schemas.Position)},
    problems=NO_CONSUMER,
)
SEEK = Description(
    scope="feed:read",
    path=(NAME,),
    body=Body("Where the consumer is to stand.", [schemas.Place]),
    answers={200: shows(schemas.Position)},
    problems=NO_CONSUMER,
)


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the routes over a process's parts."""
    routes = Blueprint("feed", __name__, url_prefix="/api/v1")
    reader = Reader(runtime.database, runtime.settings.waiting_readers_max)
    cursors = Cursors(runtime.settings.keys, "feed")

    @routes.get("/feed")
    @describes(READ)
    def read_feed() -> Response:
        """Entries behind a cursor, oldest first."""
        token = auth.require(runtime, "feed:read")
        given = request.args.get("after")
        after = cursors.read_number(given) if given else 0
        wanted = Wanted(auth.visible_sources(token, parameters.texts("source")), parameters.texts("type"))
        page = reader.read(after, wanted, *_amount())
        return _answer(page, cursors.make(page.through), runtime.settings.public_path_prefix)

    @routes.get("/consumers/<name>/feed")
    @describes(READ_AS_CONSUMER)
    def read_as_consumer(name: str) -> Response:
        """Entries behind a consumer's committed position, oldest first; `after` reads ahead of it."""
        token = auth.require(runtime, "feed:read")
        cursors_of = _cursors_of(runtime, _checked(name))
        given = request.args.get("after")
        after = cursors_of.read_number(given) if given else _position(runtime, name)
        page = reader.read(after, Wanted(auth.visible_sources(token, []), consumer=name), *_amount())
        return _answer(page, cursors_of.make(page.through), runtime.settings.public_path_prefix)

    @routes.post("/consumers/<name>/ack")
    @describes(ACKNOWLEDGE)
    def acknowledge(name: str) -> Response:
        """Commit a consumer's position; it never moves back."""
        auth.require(runtime, "feed:read")
        cursors_of = _cursors_of(runtime, _checked(name))
        position = cursors_of.read_number(parameters.body_text("cursor"))
        with runtime.database.write() as connection:
            check_given_out(position, feed.head(connection))
            committed = consumers.acknowledge(connection, name, position, runtime.clock())
        return jsonify({"consumer": name, "cursor": cursors_of.make(committed)})

    @routes.post("/consumers/<name>/seek")
    @describes(SEEK)
    def seek(name: str) -> Response:
        """Move a consumer on purpose: to the beginning, the end, a cursor or a time."""
        auth.require(runtime, "feed:read")
        to = parameters.body_text("to")
        cursors_of = _cursors_of(runtime, _checked(name))
        feed.give_positions(runtime.database)
        with runtime.database.write() as connection:
            head = feed.head(connection)
            if to in ("beginning", "end"):
                position = head if to == "end" else 0
            elif (moment := _time(to)) is not None:
                position = feed.position_at(connection, moment)
            else:
                position = _either(to, cursors_of, cursors)
            check_given_out(position, head)
            consumers.seek(connection, name, position, runtime.clock())
        return jsonify({"consumer": name, "cursor": cursors_of.make(position)})

    return routes


def _amount() -> tuple[int, int]:
    """Return the request's `limit` and `wait`."""
    return parameters.number("limit", PAGE, 1, PAGE_MAX), parameters.number("wait", 0, 0, WAIT_SECONDS_MAX)


def _answer(page: Page, following: str, prefix: str) -> Response:
    shown = [representations.feed_entry(entry) for entry in page.entries]
    if BATCH_TYPE in request.accept_mimetypes.values():
        query = urlencode(dict(request.args.lists(), after=following), doseq=True)
        link = f'<{prefix}{request.path}?{query}>; rel="next"'
        return Response(json.dumps(shown), headers={"Link": link}, content_type=BATCH_TYPE)
    return jsonify({"data": shown, "next": following, "has_more": page.has_more})


def _checked(name: str) -> str:
    if not consumers.is_name(name):
        raise Problem(400, f"A consumer's name takes {consumers.NAME_TAKES}.")
    return name


def _cursors_of(runtime: Runtime, name: str) -> Cursors:
    return Cursors(runtime.settings.keys, f"consumer:{name}")


def _position(runtime: Runtime, name: str) -> int:
    """Return a consumer's committed position; a new name begins at the beginning."""
    with runtime.database.read() as connection:
        position = consumers.position_of(connection, name)
    if position is None:
        with runtime.database.write() as connection:
            consumers.create(connection, name, runtime.clock())
    return position or 0


def _time(text: str) -> datetime | None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return parameters.read_time("to", text)


def _either(given: str, *lists: Cursors) -> int:
    """Read a cursor that any of the lists gave out."""
    for cursors in lists[:-1]:
        try:
            return cursors.read_number(given)
        except Problem:
            continue
    return lists[-1].read_number(given)
