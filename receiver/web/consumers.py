"""`/api/v1/consumers` and `/api/v1/consumers/<name>`: how far each consumer has come; `receiver.web.feed` reads."""

from receiver.admin import consumers as acts
from receiver.feed.cursors import Cursors
from receiver.runtime import Runtime
from receiver.store.api_tokens import TokenRecord
from receiver.web.operation import Operation
from receiver.web.problems import Problem
from receiver.web.schemas.consumers import Consumer, ConsumerPage, ConsumersQuery
from receiver.web.schemas.feed import ConsumerPath


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
