"""`POST /webhooks/<source>[/<channel…>]`: banks' callbacks, by Flask's route or past it (middleware, PEP 3333)."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated
from urllib.parse import quote, unquote, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import orjson
from flask import request
from flask.typing import ResponseReturnValue
from pydantic import Field

from receiver import banks
from receiver.banks.callback import Callback
from receiver.inbox.decompression import CODINGS_MAX, SUPPORTED
from receiver.inbox.inbox import Inbox
from receiver.inbox.source_cache import SourceUnknown
from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.settings import Network
from receiver.signing import addresses
from receiver.web.operation import Content, Operation
from receiver.web.problems import Outages, answer, problem
from receiver.web.request_body import RequestBodies
from receiver.web.schemas.base import LeftOut, Path, Shape
from receiver.web.schemas.events import Taken

ROOT = "/webhooks/"

_OF_A_SOURCE = re.compile(f"{ROOT}[^/].*")
"""What Flask's route takes: `/webhooks/<path>`."""


class CallbackPath(Path):
    """Where a bank sends its callbacks."""

    source: Annotated[str, Field(examples=["bcb"], json_schema_extra={"minLength": 1})]
    """The source's name."""
    channel: Annotated[str, Field(examples=["deposits"], json_schema_extra={"minLength": 1})]
    """What the bank has behind the source's name; it may hold slashes, as they are."""


class CallbackHeaders(Shape):
    """Headers that are looked at for every bank."""

    content_encoding: LeftOut[Annotated[str, Field(examples=list(SUPPORTED))]] = Field(
        default_factory=lambda: None,
        alias="Content-Encoding",
        description=f"Up to {CODINGS_MAX} of: {', '.join(SUPPORTED)}. The bank's own headers stand in "
        "docs/callbacks.md.",
    )


SIGNED = Content("What the bank signed. Its media type is not looked at.", {"*/*": None})

TAKEN = Content(
    "The callback is on disk.",
    {
        "application/json": Taken,
        "text/plain": {
            "type": "string",
            # The texts that banks wait for.
            "enum": sorted({bank.acknowledgement for bank in banks.every().values() if bank.acknowledgement}),
        },
    },
)

REFUSALS = {
    400: "The body can't be read to its end, or is shorter than its Content-Length.",
    401: "The callback is not proven genuine; the answer does not tell why.",
    404: "There is no such source.",
    413: "The body is too large, as sent or once unpacked.",
    415: "A content coding that is not undone.",
    503: "It can't be told or written down just now: send it again.",
}


class CallbackHandler:
    """Takes callbacks in; any number of threads may."""

    def __init__(self, runtime: Runtime, outages: Outages) -> None:
        """Take a process's parts, and the log of outages, which a success ends."""
        self._inbox = Inbox(runtime)
        self._bodies = RequestBodies(runtime.settings.max_body_bytes)
        self._prefix = runtime.settings.public_path_prefix.encode()
        self._proxies = runtime.settings.trusted_proxies
        self._outages = outages

    @Operation(
        f"POST {ROOT}<path:_rest>",
        forms=(f"{ROOT}{{source}}", f"{ROOT}{{source}}/{{channel}}"),
        path=CallbackPath,
        headers=CallbackHeaders,
        body=SIGNED,
        answers={200: TAKEN},
        problems=REFUSALS,
    )
    def receive(self, _rest: str) -> ResponseReturnValue:
        """Take in one callback from a bank.

        The answer is sent once the callback is on disk. 2xx: it is stored, do not send it again; 4xx: it will not be
        taken, the same again neither; 503: send it again.
        """
        return self.take(request.environ)

    def take(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Take one callback in, and return the answer once it is on disk.

        Raises:
            Exception: any that `receiver.web.problems.answer` has an answer to.
        """
        path = _raw_path(environ)
        if not path.startswith(ROOT):
            raise SourceUnknown(path)
        source, slash, channel = path[len(ROOT) :].partition("/")
        name = unquote(source) if "%" in source else source
        body = self._bodies.read_usual(environ)
        if body is not None:
            return self._answer(name, self._callback(environ, path, channel if slash else None, body))
        with self._bodies.reading(environ, self._inbox.body_limit(name)) as body:
            return self._answer(name, self._callback(environ, path, channel if slash else None, body))

    def _callback(self, environ: WSGIEnvironment, path: str, channel: str | None, body: bytes) -> Callback:
        remote, forwarded_for = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR")
        return Callback(
            method=environ["REQUEST_METHOD"].encode("latin-1"),
            path=self._prefix + path.encode("latin-1"),
            channel=channel,
            # WSGI carries header bytes as Latin-1 text; this gives the bytes back.
            headers={
                _name(name): value.encode("latin-1", "replace")
                for name, value in environ.items()
                if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
            },
            body=body,
            peer=client_address(remote, forwarded_for, self._proxies) if forwarded_for else remote,
        )

    def _answer(self, name: str, callback: Callback) -> WSGIApplication:
        verdict = self._inbox.accept(name, callback)
        if verdict.kind not in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            # RFC 9110 section 15.5.2 wants the header; what exactly was wrong is for staff alone.
            return problem(401, "The callback is not proven genuine.", {"WWW-Authenticate": "Signature"})
        if self._outages.since is not None:
            self._outages.succeeded()
        if verdict.acknowledgement is not None:
            return _ok(verdict.acknowledgement.encode(), "text/plain")
        return _ok(orjson.dumps({"status": verdict.kind, "events": verdict.event_ids}), "application/json")


class CallbackMiddleware:
    """Hands callbacks over without Flask's request context, which they do not need; all else goes on to Flask.

    Flask's own route leads to the same handler and gives the same answers, but a quarter fewer of them in a second.
    """

    def __init__(self, handler: CallbackHandler, outages: Outages, flask: WSGIApplication) -> None:
        """Take what handles callbacks, the log of outages, and where all else goes."""
        self._handler = handler
        self._outages = outages
        self._flask = flask

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        if environ["REQUEST_METHOD"] != "POST" or not _OF_A_SOURCE.fullmatch(environ.get("PATH_INFO", "")):
            return self._flask(environ, start_response)
        try:
            answered = self._handler.take(environ)
        except Exception as error:
            answered = answer(error, self._outages)
        return answered(environ, start_response)


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


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    """Return the name of the header that WSGI keeps under `key`, in lower case."""
    return key.removeprefix("HTTP_").replace("_", "-").lower()
