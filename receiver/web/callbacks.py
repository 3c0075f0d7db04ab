"""`POST /webhooks/<source>[/<channel…>]`: where the banks knock."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from flask import Blueprint, Response, request

from receiver import banks
from receiver.banks.callback import Callback
from receiver.inbox.coding import CODINGS_MAX, SUPPORTED
from receiver.inbox.directory import SourceUnknown
from receiver.runtime import Runtime
from receiver.web import peers, schemas
from receiver.web.bodies import Bodies
from receiver.web.describing import Answer, Body, Description, Parameter, describes, part, shows
from receiver.web.problems import problem

ROOT = "/webhooks/"


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


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the route over a process's parts."""
    routes = Blueprint("callbacks", __name__)
    inbox = runtime.inbox()
    bodies = Bodies(runtime.settings.max_body_bytes)
    prefix = runtime.settings.public_path_prefix.encode()

    @routes.post("/webhooks/<path:_rest>", provide_automatic_options=False)
    @describes(RECEIVE)
    def receive(_rest: str) -> Response:
        """Take in one callback from a bank.

        The answer is sent once the callback is on disk. 2xx: it is stored, do not send it again; 4xx: it will not be
        taken, the same again neither; 503: send it again.
        """
        environ = request.environ
        path = _raw_path(environ)
        if not path.startswith(ROOT):
            raise SourceUnknown(path)
        source, slash, channel = path.removeprefix(ROOT).partition("/")
        name = unquote(source)
        with bodies.reading(lambda: inbox.body_limit(name)) as body:
            callback = Callback(
                method=environ["REQUEST_METHOD"].encode("latin-1"),
                path=prefix + path.encode("latin-1"),
                channel=channel if slash else None,
                headers=_headers(environ),
                body=body,
                peer=peers.address(
                    environ.get("REMOTE_ADDR", ""),
                    environ.get("HTTP_X_FORWARDED_FOR", ""),
                    runtime.settings.trusted_proxies,
                ),
            )
            verdict = inbox.accept(name, callback)
        if verdict.kind == "rejected":
            # RFC 9110 section 15.5.2 wants the header; what exactly was wrong is for staff alone.
            return problem(401, "The callback is not proven genuine.", {"WWW-Authenticate": "Signature"})
        if verdict.acknowledgement is not None:
            return Response(verdict.acknowledgement, content_type="text/plain")
        answer = {"status": verdict.kind, "events": verdict.event_ids}
        return Response(json.dumps(answer), content_type="application/json")

    return routes


def _raw_path(environ: Mapping[str, Any]) -> str:
    """Return the path as it was sent, percent-encoding untouched, without the query: banks sign these bytes."""
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target is None:
        return quote(request.path)
    if not target.startswith("/"):
        target = urlsplit(target).path
    return str(target).partition("?")[0]


def _headers(environ: Mapping[str, Any]) -> dict[str, bytes]:
    """WSGI carries header bytes as Latin-1 text; this gives the bytes back."""
    return {
        _name(name): value.encode("latin-1", "replace")
        for name, value in environ.items()
        if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
    }


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    """Return the name of the header that WSGI keeps under `key`, in lower case."""
    return key.removeprefix("HTTP_").replace("_", "-").lower()
