"""`POST /webhooks/<source>[/<channel…>]`: where the banks knock."""

from collections.abc import Iterable
from dataclasses import replace

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from receiver import banks
from receiver.inbox.coding import CODINGS_MAX, SUPPORTED
from receiver.web import schemas
from receiver.web.describing import Answer, Body, Description, Parameter, describes, part, shows
from receiver.web.door import Door


def taken(acknowledgements: Iterable[str]) -> Answer:
    """Describe what a bank is answered that may stop sending: JSON, or the text that it waits for."""
    texts = sorted(set(acknowledgements))
    told = shows(schemas.Taken)
    return replace(
        told, content={**told.content, "text/plain": {"type": "string", "enum": texts}} if texts else told.content
    )


RECEIVE = Description(
    forms=("/webhooks/{source}", "/webhooks/{source}/{channel}"),
    path=(
        part("source", "The source's name.", "bcb"),
        part("channel", "What the bank has behind the source's name; it may hold slashes, as they are.", "deposits"),
    ),
    headers=(
        Parameter(
            "Content-Encoding",
            f"Up to {CODINGS_MAX} of: {', '.join(SUPPORTED)}. The bank's own headers stand in docs/callbacks.md.",
            {"type": "string", "examples": list(SUPPORTED)},
        ),
    ),
    body=Body("What the bank signed. Its media type is not looked at."),
    answers={200: taken([found.acknowledgement for found in banks.every().values() if found.acknowledgement])},
    problems={
        400: "The body can't be read to its end, or is shorter than its Content-Length.",
        401: "The callback is not proven genuine; the answer does not tell why.",
        404: "There is no such source.",
        413: "The body is too large, as sent or once unpacked.",
        415: "A content coding that is not undone.",
        503: "It can't be told or written down just now: send it again.",
    },
)


def blueprint(door: Door) -> Blueprint:
    """Build the route to the door."""
    routes = Blueprint("callbacks", __name__)

    @routes.post("/webhooks/<path:_rest>", provide_automatic_options=False)
    @describes(RECEIVE)
    def receive(_rest: str) -> ResponseReturnValue:
        """Take in one callback from a bank.

        The answer is sent once the callback is on disk. 2xx: it is stored, do not send it again; 4xx: it will not be
        taken, the same again neither; 503: send it again.
        """
        return door.take(request.environ)

    return routes
