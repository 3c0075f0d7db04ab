"""The feed and its consumers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from receiver.web.schemas.base import EventId, Shape, Text, left_out, such_as


class Entry(Shape):
    """An entry of the feed: a CloudEvents 1.0 object."""

    specversion: Literal["1.0"]
    id: str
    source: str
    """`/sources/` and the source's name."""
    type: str
    subject: str = left_out()
    """The payment's id where there is one, else the job's."""
    time: datetime
    datacontenttype: Literal["application/json"]
    position: Annotated[int, Field(ge=1)]
    """Ascending, and kept for ever."""
    eventid: EventId = left_out()
    """The event that it stems from."""
    replayid: str = left_out()
    """The replay that sent it again."""
    data: dict[str, Any]


class FeedPage(Shape):
    """Entries, oldest first."""

    data: list[Entry]
    next: str
    """The cursor to read on from, whether or not there was anything."""
    has_more: bool
    """More can be read at once."""


class Batch(RootModel[list[Entry]]):
    """The entries alone (CloudEvents JSON batch format)."""


class Position(Shape):
    """Where a consumer stands."""

    consumer: str
    cursor: str
    """What is read next is behind it."""


class Acknowledgement(Shape):
    """How far a consumer has come."""

    model_config = such_as(cursor="MQ.k0eV…")

    cursor: Text
    """The `next` of a page of this consumer."""


class Place(Shape):
    """Where a consumer is to stand."""

    model_config = such_as(to="beginning")

    to: Text
    """`beginning`, `end`, a cursor, or a time (RFC 3339)."""
