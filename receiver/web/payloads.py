"""`/api/v1/events/<event_id>/payload`: one notification, decrypted."""

from flask import Response, request

from receiver.admin import events as acts
from receiver.inbox.inbox import LARGE_BYTES
from receiver.model import NotFound
from receiver.runtime import Runtime
from receiver.store.api_tokens import TokenRecord
from receiver.store.thread_pool import run_in_thread
from receiver.web import auth
from receiver.web.operation import Content, Operation
from receiver.web.problems import Problem
from receiver.web.request_body import RequestBodies
from receiver.web.schemas.events import EventPath

HELD_TIMES = 3
"""How many times its size a body takes of the quota while it is opened and read."""

PAYLOAD = Content("The notification, as the bank wrote it but for white space.", {"application/json": None})


class Payloads:
    """The view of payloads."""

    def __init__(self, runtime: Runtime, bodies: RequestBodies) -> None:
        """Take a process's parts, and the quota of bodies that callbacks share."""
        self._runtime = runtime
        self._bodies = bodies

    @Operation(
        "GET /api/v1/events/<event_id>/payload",
        scope="payloads:read",
        path=EventPath,
        answers={200: PAYLOAD},
        problems={
            404: "There is no such event, or the token may not see it.",
            410: "The payload is not stored any more, or no stored key opens it.",
        },
    )
    def show_payload(self, event_id: str, token: TokenRecord) -> Response:
        """Return this notification alone, decrypted, as JSON with indents; the audit log notes it."""
        try:
            event, size = acts.stored(self._runtime, event_id)
        except NotFound as error:
            raise Problem(404, "There is no such event.") from error
        if not auth.may_see(token, event.source):
            raise Problem(404, "There is no such event.")
        return Response(f"{self._opened(event_id, token, size)}\n", content_type="application/json")

    def _opened(self, event_id: str, token: TokenRecord, size: int) -> str:
        """Open a payload within the quota of what a process holds; a large one lets others go on meanwhile."""
        who = f"token:{token.name}"
        with self._bodies.holding(request.remote_addr or "") as held:
            # Who shows a token is no stranger, and needs no share.
            held.has_share = False
            held.more(HELD_TIMES * size)
            if size > LARGE_BYTES:
                return run_in_thread(acts.payload, self._runtime, who, event_id)
            return acts.payload(self._runtime, who, event_id)
