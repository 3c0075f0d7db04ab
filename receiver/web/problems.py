"""From errors to problem documents (RFC 9457). This is the one table of what each error answers."""

import logging
from http import HTTPStatus

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from receiver.inbox.coding import SUPPORTED, BodyTooLarge, CodingNotSupported
from receiver.inbox.directory import SourceUnknown
from receiver.inbox.inbox import TryLater
from receiver.store.database import StoreUnavailable
from receiver.store.sealing import SealBroken
from receiver.web.outages import Outages

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
KEYS_RETRY_AFTER_SECONDS = 20

WRITING = ("callbacks.receive", "operations.readyz")
"""Where a 200 means that the database was written."""


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


def register(app: Flask) -> None:
    """Answer every error of `app` with a problem document."""
    app.register_error_handler(Problem, lambda error: problem(error.status, error.detail, error.headers))
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(SourceUnknown, lambda _: problem(404, "There is no such source."))
    app.register_error_handler(BodyTooLarge, lambda error: problem(413, f"The body is too large: {error}."))
    app.register_error_handler(CodingNotSupported, _coding_not_supported)
    app.register_error_handler(TryLater, lambda _: _later("Send it again later.", KEYS_RETRY_AFTER_SECONDS))
    app.register_error_handler(Exception, _unexpected)
    _tell_of_outages(app, Outages())


def _tell_of_outages(app: Flask, outages: Outages) -> None:
    @app.errorhandler(StoreUnavailable)
    def refuse(error: StoreUnavailable) -> Response:
        outages.refused(str(error))
        return _later("The database is unavailable.")

    @app.after_request
    def note_success(response: Response) -> Response:
        if response.status_code == 200 and request.endpoint in WRITING:
            outages.succeeded()
        return response


def _of_http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {"Allow": ", ".join(sorted(error.valid_methods or ()))} if isinstance(error, MethodNotAllowed) else {}
    return problem(status, error.description or HTTPStatus(status).phrase, headers)


def _coding_not_supported(_: CodingNotSupported) -> Response:
    codings = ", ".join(SUPPORTED)
    # RFC 9110 section 15.5.16: a 415 for a content coding lists those that are taken.
    return problem(415, f"Content-Encoding may be {codings}.", {"Accept-Encoding": codings})


def _later(detail: str, seconds: int = RETRY_AFTER_SECONDS) -> Response:
    return problem(503, detail, {"Retry-After": str(seconds)})


def _unexpected(error: Exception) -> Response:
    """A fault of ours: never an answer that a bank would take for good."""
    if isinstance(error, SealBroken):
        log.error("%s", error)
    else:
        log.exception("a request failed", exc_info=error)
    return _later("The receiver can't answer this just now.")
