"""From errors to problem documents (RFC 9457): the one table of what each error answers, and the log of outages."""

import json
import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from receiver.admin.consumers import ConsumerOfOther, ConsumersTooMany
from receiver.feed.cursors import CursorInvalid
from receiver.feed.reader import PositionUnknown
from receiver.inbox.decompression import BodyTooLarge, CodingNotSupported
from receiver.inbox.inbox import TryLater
from receiver.inbox.source_cache import SourceUnknown
from receiver.inbox.verification import CODING_NOT_SUPPORTED
from receiver.metrics.names import REFUSED, UNAVAILABLE
from receiver.model import Gone, NameUnknown, NotPossible, Verdict
from receiver.replay.plan import PlanWrong
from receiver.store.database import StoreUnavailable
from receiver.store.encryption import DecryptionFailed

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
"""How often it is said that an outage goes on, at most."""

QUIET_SECONDS = 5.0
"""An outage is over when a request succeeds and none was refused for so long: in an overload both take turns."""


class Outages:
    """One burst of refusals after the other; any number of threads may report theirs."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self.since: float | None = None
        """When the burst began, by the timer; none where there is none, which costs a request nothing to see."""
        self._last = self._logged = 0.0
        self._refused = self._unlogged = 0

    def refused(self, reason: str) -> None:
        """Log the first of a burst at once; later ones by their number, every ten seconds."""
        with self._lock:
            now = self._timer()
            is_first = self.since is None
            if is_first:
                self.since, self._refused, self._unlogged = now, 0, 0
            self._last = now
            self._refused += 1
            self._unlogged += 1
            if not is_first and now - self._logged < EVERY_SECONDS:
                return
            self._logged, unlogged, self._unlogged = now, self._unlogged, 0
        if is_first:
            log.error("the database is unavailable: %s", reason)
        else:
            log.error("the database is still unavailable, %d more requests refused: %s", unlogged, reason)

    def succeeded(self) -> None:
        """Log the end of a burst, if this is one."""
        with self._lock:
            if self.since is None or self._timer() - self._last < QUIET_SECONDS:
                return
            seconds, self.since = self._last - self.since, None
        log.warning("the database is available again: %d requests were refused within %.0f s", self._refused, seconds)


DATABASE = "database"
"""The reason for which callbacks are counted that the database stood in the way of."""

RETRY_AFTER_SECONDS = 5
KEYS_RETRY_AFTER_SECONDS = 20


class Problem(Exception):
    """An answer that says what was wrong with the request, and what to do."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return a problem document."""
    title = HTTPStatus(status).phrase
    text = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return Response(text, status, headers, content_type="application/problem+json")


def sentence(error: Exception) -> str:
    """Return an error's text as a sentence of its own."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def answer(error: Exception, outages: Outages) -> Response:
    """Return the problem document for what a view, or the handler of callbacks, has raised."""
    match error:
        case Problem():
            return problem(error.status, error.detail, error.headers)
        case HTTPException():
            return _of_http(error)
        case CursorInvalid() | PositionUnknown() | PlanWrong():
            return problem(400, str(error))
        case ConsumerOfOther():
            return problem(403, str(error))
        case ConsumersTooMany():
            return problem(409, str(error))
        case NotPossible():
            return problem(409, sentence(error))
        case Gone():
            return problem(410, sentence(error))
        case NameUnknown():
            return problem(400, str(error))
        case SourceUnknown():
            return problem(404, "There is no such source.")
        case BodyTooLarge():
            return problem(413, f"The body is too large: {error}.")
        case CodingNotSupported():
            return _coding_not_supported(error)
        case TryLater():
            return _later("Send it again later.", KEYS_RETRY_AFTER_SECONDS)
        case StoreUnavailable():
            outages.refused(str(error))
            return _later("The database is unavailable.")
        case _:
            return _unexpected(error)


def verdict_on(error: Exception) -> tuple[str, str]:
    """Return the verdict and the reason that a callback is counted by for which an error was raised."""
    match error:
        case SourceUnknown():
            return REFUSED, "source_unknown"
        case BodyTooLarge():
            return REFUSED, "body_too_large"
        case CodingNotSupported():
            return Verdict.REJECTED, CODING_NOT_SUPPORTED
        case Problem() if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return REFUSED, "body_unreadable"
        case TryLater():
            return UNAVAILABLE, error.reason
        case StoreUnavailable():
            return UNAVAILABLE, DATABASE
        case DecryptionFailed():
            return UNAVAILABLE, "key_unknown"
        case _:
            return UNAVAILABLE, "fault"


def register(app: Flask, outages: Outages) -> None:
    """Answer every error of `app` with a problem document."""
    app.register_error_handler(Exception, lambda error: answer(error, outages))


def _of_http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {"Allow": ", ".join(sorted(error.valid_methods or ()))} if isinstance(error, MethodNotAllowed) else {}
    return problem(status, error.description or HTTPStatus(status).phrase, headers)


def _coding_not_supported(error: CodingNotSupported) -> Response:
    codings = ", ".join(error.accepted) or "identity"
    # RFC 9110 section 15.5.16: a 415 for a content coding lists those that are taken.
    return problem(415, f"Content-Encoding may be {codings}, and one alone.", {"Accept-Encoding": codings})


def _later(detail: str, seconds: int = RETRY_AFTER_SECONDS) -> Response:
    return problem(503, detail, {"Retry-After": str(seconds)})


def _unexpected(error: Exception) -> Response:
    """Answer 503 for a fault of ours: never anything that a bank would take for good."""
    if isinstance(error, DecryptionFailed):
        log.error("%s", error)
    else:
        log.exception("a request failed", exc_info=error)
    return _later("The receiver can't answer this just now.")
