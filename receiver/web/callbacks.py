"""`POST /webhooks/<source>[/<channel…>]`: banks' callbacks, by Flask's route or past it (middleware, PEP 3333)."""

import logging
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
from receiver.inbox.inbox import Inbox, Outcome, lists_addresses, passes
from receiver.inbox.missed import Missed
from receiver.inbox.source_cache import SourceUnknown
from receiver.logs import ids
from receiver.metrics.names import UNAVAILABLE
from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.signing import addresses
from receiver.store.database import StoreUnavailable
from receiver.web.operation import Content, Operation
from receiver.web.problems import DATABASE, Outages, answer, problem, verdict_on
from receiver.web.request_body import FIRST_BYTES, CheckedInput, RequestBodies, declared_bytes
from receiver.web.schemas.base import LeftOut, Path, Shape
from receiver.web.schemas.events import Taken

log = logging.getLogger(__name__)

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

    content_encoding: LeftOut[Annotated[str, Field(examples=["gzip"])]] = Field(
        default_factory=lambda: None,
        alias="Content-Encoding",
        description="One coding that the bank documents, if any. The bank's own headers stand in docs/callbacks.md.",
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
    415: "A content coding that the bank does not document, or more than one.",
    503: "It can't be told, held or written down just now: send it again.",
}


class CallbackHandler:
    """Takes callbacks in; any number of threads may."""

    def __init__(self, runtime: Runtime, outages: Outages) -> None:
        """Take a process's parts, and the log of outages, which a success ends."""
        self._inbox = Inbox(runtime)
        self._missed = Missed(runtime, self._inbox.knew)
        self._rejected_bytes = runtime.settings.rejected_body_bytes
        # One byte more tells whether that was all.
        self.bodies = RequestBodies(
            runtime.settings.bodies_bytes, self._rejected_bytes + 1, runtime.settings.trusted_proxies
        )
        self._prefix = runtime.settings.public_path_prefix.encode()
        self._proxies = runtime.settings.trusted_proxies
        self._outages = outages
        self._counters = runtime.counters

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
        began = time.perf_counter()
        counted = _Counted()
        try:
            outcome = self._take(environ, counted)
        except Exception as error:
            counted.verdict, counted.reason = verdict_on(error)
            counted.log()
            raise
        else:
            counted.verdict, counted.reason = outcome.verdict, outcome.reason
        finally:
            seconds = time.perf_counter() - began
            self._counters.delivered(counted.source, counted.verdict, counted.reason, seconds)
        return self._written(outcome)

    def _take(self, environ: WSGIEnvironment, counted: "_Counted") -> Outcome:
        path = _raw_path(environ)
        if not path.startswith(ROOT):
            raise SourceUnknown(path)
        source, slash, channel = path[len(ROOT) :].partition("/")
        name = unquote(source) if "%" in source else source
        try:
            return self._take_from(environ, name, path, channel if slash else None, counted)
        except StoreUnavailable:
            self._missed.note(name)
            raise

    def _take_from(
        self, environ: WSGIEnvironment, name: str, path: str, channel: str | None, counted: "_Counted"
    ) -> Outcome:
        known = self._inbox.find(name)
        limit = self._inbox.body_limit(known)
        # Only now: until it is found it is what anybody may have made up.
        counted.source = name
        peer = self._peer(environ)
        length = declared_bytes(environ, limit)
        # What is short, and is kept whole even of a rejected delivery, is read in any case.
        is_long = length is None or length > min(self._rejected_bytes, FIRST_BYTES)
        if is_long:
            head = self._callback(environ, path, channel, peer, b"")
            if not passes(known, head):
                return self._refuse(environ, name, head, length)
        with self.bodies.holding(peer) as held:
            held.has_share = not (is_long and lists_addresses(known))
            callback = self._callback(environ, path, channel, peer, held.read(environ, length, limit))
            if "content-encoding" in callback.headers:
                held.more(self._inbox.unpacked_bytes(name, callback))
            return self._inbox.accept(name, callback)

    def _refuse(self, environ: WSGIEnvironment, name: str, head: Callback, length: int | None) -> Outcome:
        """Take a callback whose head shows that it can't be genuine; the beginning of its body is stored with it."""
        with self.bodies.holding_unproven(head.peer) as held:
            body = held.read_beginning(environ, length, self._rejected_bytes + 1)
            return self._inbox.accept(name, replace(head, body=body, is_partial=len(body) > self._rejected_bytes))

    def _peer(self, environ: WSGIEnvironment) -> str:
        remote, forwarded_for = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR")
        return addresses.sender(remote, forwarded_for, self._proxies) if forwarded_for else remote

    def _callback(self, environ: WSGIEnvironment, path: str, channel: str | None, peer: str, body: bytes) -> Callback:
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
            peer=peer,
        )

    def _written(self, outcome: Outcome) -> WSGIApplication:
        if outcome.verdict not in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            # RFC 9110 section 15.5.2 wants the header; what exactly was wrong is for staff alone.
            return problem(401, "The callback is not proven genuine.", {"WWW-Authenticate": "Signature"})
        if self._outages.since is not None:
            self._outages.succeeded()
        if self._missed:
            self._missed.write_if_quiet()
        if outcome.acknowledgement is not None:
            return _ok(outcome.acknowledgement.encode(), "text/plain")
        return _ok(orjson.dumps({"status": outcome.verdict, "events": outcome.event_ids}), "application/json")


@dataclass
class _Counted:
    """What is counted of a callback; `source` is empty until it is known to be one."""

    source: str = ""
    verdict: str = UNAVAILABLE
    reason: str = "interrupted"

    def log(self) -> None:
        """Log what is not taken: of a source that there is, and one by one where not everything is refused."""
        if self.source and self.reason != DATABASE:
            about = ids(source=self.source, verdict=self.verdict, reason=self.reason)
            log.info("a delivery to %s is not taken (%s): %s", self.source, self.verdict, self.reason, extra=about)


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
            environ["wsgi.input"] = CheckedInput(environ)
            return self._flask(environ, start_response)
        try:
            answered = self._handler.take(environ)
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


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    """Return the name of the header that WSGI keeps under `key`, in lower case."""
    return key.removeprefix("HTTP_").replace("_", "-").lower()
