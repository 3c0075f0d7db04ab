"""`POST /webhooks/<source>[/<channel…>]`: banks' callbacks, by Flask's route or past it (middleware, PEP 3333)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import orjson
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from receiver import banks
from receiver.banks.callback import Callback
from receiver.inbox.decompression import CODINGS_MAX, SUPPORTED
from receiver.inbox.inbox import Inbox
from receiver.inbox.source_cache import SourceUnknown
from receiver.runtime import Runtime
from receiver.settings import Network
from receiver.signing import addresses
from receiver.web import schemas
from receiver.web.describing import Answer, Body, Description, Parameter, describes, part, shows
from receiver.web.problems import Outages, answer, problem
from receiver.web.request_body import RequestBodies


def client_address(remote: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the sender's address.

    `X-Forwarded-For` is walked from the right, where the nearest proxy wrote, for as long as the address that wrote
    is trusted; what stands left of the first stranger is that stranger's own word, and is not believed.
    """
    found = remote
    for hop in reversed([hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []):
        if not _is_trusted(found, trusted) or addresses.address(hop) is None:
            break
        found = hop
    return found


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    found = addresses.address(text)
    return found is not None and any(found in network for network in trusted)


ROOT = "/webhooks/"

_OF_A_SOURCE = re.compile(f"{ROOT}[^/].*")
"""What Flask's route takes: `/webhooks/<path>`."""


class CallbackHandler:
    """Where callbacks come in; any number of threads may."""

    def __init__(self, runtime: Runtime, outages: Outages) -> None:
        """Take a process's parts."""
        self._inbox = Inbox(runtime)
        self._bodies = RequestBodies(runtime.settings.max_body_bytes)
        self._prefix = runtime.settings.public_path_prefix.encode()
        self._proxies = runtime.settings.trusted_proxies
        self._outages = outages

    def take(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Take one callback in, and return the answer once it is on disk.

        Raises:
            Exception: any that `receiver.web.problems.answer` has an answer to.
        """
        path = _raw_path(environ)
        if not path.startswith(ROOT):
            raise SourceUnknown(path)
        source, slash, channel = path.removeprefix(ROOT).partition("/")
        name = unquote(source)
        with self._bodies.reading(environ, lambda: self._inbox.body_limit(name)) as body:
            callback = Callback(
                method=environ["REQUEST_METHOD"].encode("latin-1"),
                path=self._prefix + path.encode("latin-1"),
                channel=channel if slash else None,
                headers=_headers(environ),
                body=body,
                peer=client_address(
                    environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), self._proxies
                ),
            )
            verdict = self._inbox.accept(name, callback)
        if verdict.kind == "rejected":
            # RFC 9110 section 15.5.2 wants the header; what exactly was wrong is for staff alone.
            return problem(401, "The callback is not proven genuine.", {"WWW-Authenticate": "Signature"})
        self._outages.succeeded()
        if verdict.acknowledgement is not None:
            return _ok(verdict.acknowledgement.encode(), "text/plain")
        return _ok(orjson.dumps({"status": verdict.kind, "events": verdict.event_ids}), "application/json")


class CallbackMiddleware:
    """Hands callbacks to the door without Flask's request context, which they do not need; all else goes on to Flask.

    Flask's own route leads to the same door and would give the same answers, but a quarter fewer of them in a second.
    """

    def __init__(self, door: CallbackHandler, outages: Outages, flask: WSGIApplication) -> None:
        """Take the door, and where all else goes."""
        self._door = door
        self._outages = outages
        self._flask = flask

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        if environ["REQUEST_METHOD"] != "POST" or not _OF_A_SOURCE.fullmatch(environ.get("PATH_INFO", "")):
            return self._flask(environ, start_response)
        try:
            answered = self._door.take(environ)
        except Exception as error:
            answered = answer(error, self._outages)
        return answered(environ, start_response)


def _ok(body: bytes, content_type: str) -> WSGIApplication:
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]

    def respond(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return [body]

    return respond


def _raw_path(environ: WSGIEnvironment) -> str:
    """Return the path as it was sent, percent-encoding untouched, without the query: banks sign these bytes."""
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target is None:
        return quote(environ["PATH_INFO"].encode("latin-1"))
    if not target.startswith("/"):
        target = urlsplit(target).path
    return str(target).partition("?")[0]


def _headers(environ: WSGIEnvironment) -> dict[str, bytes]:
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


def _described_ok(acknowledgements: Iterable[str]) -> Answer:
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
    answers={200: _described_ok([found.acknowledgement for found in banks.every().values() if found.acknowledgement])},
    problems={
        400: "The body can't be read to its end, or is shorter than its Content-Length.",
        401: "The callback is not proven genuine; the answer does not tell why.",
        404: "There is no such source.",
        413: "The body is too large, as sent or once unpacked.",
        415: "A content coding that is not undone.",
        503: "It can't be told or written down just now: send it again.",
    },
)


def blueprint(door: CallbackHandler) -> Blueprint:
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
