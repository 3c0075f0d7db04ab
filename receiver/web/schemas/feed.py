"""The feed and its consumers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, RootModel, with_config
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from receiver.admin.consumers import Standing
from receiver.feed.cursors import Cursors
from receiver.store import consumers, feed
from receiver.web.schemas.base import (
    FROM_DIGITS,
    PAGE,
    Answer,
    Body,
    EntryType,
    EventId,
    LeftOut,
    Limit,
    ListPage,
    Path,
    Query,
    SourceName,
    Text,
    Time,
    left_out,
    such_as,
)
from receiver.web.schemas.times import asked_time, is_meant_as_time, rfc3339

WAIT_SECONDS_MAX = 30


def _check_name(given: object) -> object:
    if not isinstance(given, str) or not consumers.is_name(given):
        raise ValueError(consumers.NAME_TAKES)
    return given


ConsumerName = Annotated[
    str, BeforeValidator(_check_name), Field(json_schema_extra={"pattern": f"^{consumers.NAME.pattern}$"})
]


class ConsumerQuery(Query):
    """Which entries a consumer reads."""

    after: LeftOut[str] = left_out()
    """The `next` of a page of this consumer, to read ahead of its position."""
    limit: Limit = Field(PAGE, examples=[10])
    """Entries in a page."""
    wait: Annotated[int, Field(ge=0, le=WAIT_SECONDS_MAX), FROM_DIGITS] = Field(0, examples=[5])
    """Seconds to hold the request until an entry comes, if there is none yet."""


class FeedQuery(ConsumerQuery):
    """Which entries of the feed to read."""

    after: LeftOut[str] = left_out()
    """The `next` of the page before; without it, from the beginning."""
    source: list[SourceName] = Field(default_factory=list)
    """A source's name. Repeatable."""
    type: list[EntryType] = Field(default_factory=list)
    """Such as `bcb.deposit`. Repeatable."""


class ConsumerPath(Path):
    """One consumer."""

    status = 400

    name: Annotated[ConsumerName, Field(examples=["ledger"])]
    """The consumer's name; it comes to be on first use."""


# A plain dictionary, so that orjson writes a page of them: see `FeedPage`.
@with_config(ConfigDict(use_attribute_docstrings=True))
class Entry(TypedDict):
    """An entry of the feed: a CloudEvents 1.0 object."""

    specversion: Literal["1.0"]
    id: str
    source: str
    """`/sources/` and the source's name."""
    type: str
    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    datacontenttype: Literal["application/json"]
    position: Annotated[int, Field(ge=1)]
    """Ascending, and kept for ever."""
    data: Mapping[str, Any]
    subject: NotRequired[str]
    """The payment's id where there is one, else the job's."""
    eventid: NotRequired[EventId]
    """The event that it stems from."""
    replayid: NotRequired[str]
    """The replay that sent it again."""


def cloud_event(entry: feed.Entry) -> Entry:
    """Write an entry as a CloudEvents 1.0 JSON object (structured mode)."""
    made: Entry = {
        "specversion": "1.0",
        "id": f"fe_{entry.position}",
        "source": f"/sources/{entry.source}",
        "type": entry.type,
        "time": rfc3339(entry.time),
        "datacontenttype": "application/json",
        "position": entry.position,
        "data": entry.data,
    }
    if entry.subject is not None:
        made["subject"] = entry.subject
    if entry.event_id is not None:
        made["eventid"] = entry.event_id
    if entry.replay_id is not None:
        made["replayid"] = entry.replay_id
    return made


class FeedPage(ListPage):
    """Entries, oldest first."""

    cursor_parameter = "after"

    data: list[Entry]
    next: str
    """The cursor to read on from, whether or not there was anything."""
    has_more: bool
    """More can be read at once."""

    def shown(self) -> dict[str, Any]:
        """Return the fields as values of JSON, which they are already.

        A page holds up to a thousand entries, and readers ask without a pause: to have pydantic go through them would
        take four times as long. That they fit the description is for the tests to see.
        """
        return self.__dict__


class Batch(RootModel[list[Entry]]):
    """The entries alone (CloudEvents JSON batch format)."""


class Position(Answer):
    """Where a consumer stands."""

    consumer: str
    cursor: str
    """What is read next is behind it."""


class Acknowledgement(Body):
    """How far a consumer has come."""

    model_config = such_as(cursor="MQ.k0eV…")

    cursor: Text
    """The `next` of a page of this consumer."""


def _time(given: str) -> datetime | None:
    return asked_time(given) if is_meant_as_time(given) else None


def _check_time(given: str) -> str:
    """Refuse what is a time, but not one that can be looked for."""
    _time(given)
    return given


class Place(Body):
    """Where a consumer is to stand."""

    model_config = such_as(to="beginning")

    to: Annotated[Text, AfterValidator(_check_time)]
    """`beginning`, `end`, a cursor, or a time (RFC 3339)."""

    @property
    def time(self) -> datetime | None:
        """The time that is meant, in UTC; none where it is no time."""
        return _time(self.to)


class ConsumersQuery(Query):
    """Which consumers to list."""

    limit: Limit = Field(PAGE, examples=[10])
    """Consumers in a page."""
    cursor: LeftOut[str] = left_out()
    """The `next` of the page before."""


class Consumer(Answer):
    """A consumer of the feed."""

    consumer: str
    cursor: str
    """What is read next is behind it."""
    position: int
    """Of the last entry that is committed; 0 at the beginning."""
    lag_entries: int
    """Positions behind it that are not committed yet; those that it may not see count too."""
    lag_seconds: float
    """Since the first of them was written that it may see, by a replay too; 0 where there is none."""
    read_at: Time | None
    """When it was read last, to a few seconds."""
    acked_at: Time | None
    """When its position was set last."""
    created_at: Time
    token: str | None
    """The name of the token that it belongs to; null where it belongs to all."""
    shared_with: list[str]
    """Names of other tokens that may use it."""

    @classmethod
    def made(cls, standing: Standing, keys: Sequence[str]) -> Self:
        """Show a consumer; `keys` are those that sign cursors."""
        found = standing.consumer
        return cls(
            consumer=found.name,
            cursor=Cursors(keys, f"consumer:{found.name}").make_place(found.place),
            position=found.position,
            lag_entries=standing.lag.entries,
            lag_seconds=standing.lag.age.total_seconds(),
            read_at=found.read_at,
            acked_at=found.acked_at,
            created_at=found.created_at,
            token=found.owner,
            shared_with=found.shared_with,
        )


class ConsumerPage(ListPage):
    """Consumers by name."""

    data: list[Consumer]
    next: str | None
    """The cursor of the next page; null on the last one."""
