"""Consumers: how far each has come, and whom it belongs to."""

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from receiver.admin.consumers import Standing
from receiver.feed.cursors import Cursors
from receiver.web.schemas.base import PAGE, Answer, LeftOut, Limit, ListPage, Query, Time, left_out


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
    """The age of the first of them; 0 where there is none."""
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
            cursor=Cursors(keys, f"consumer:{found.name}").make(found.position),
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
