"""A simulated bank as a WSGI application."""

from collections.abc import Iterable

from flask import Blueprint, Flask, current_app
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from receiver.simulator import control, fittings
from receiver.simulator.fittings import Fittings
from receiver.simulator.gateway import Gateway

BODY_BYTES_MAX = 16_000_000

STATE = "simulator"
"""Under this name the application carries the bank's own state."""


def create_app(state: object, shared: Fittings, blueprints: Iterable[Blueprint]) -> Flask:
    """Return the Flask application of one bank; faults and the journal take effect in its `wsgi_app`."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.extensions[fittings.NAME] = shared
    app.extensions[STATE] = state
    app.register_blueprint(control.blueprint())
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    app.register_error_handler(HTTPException, _http_error)
    app.wsgi_app = Gateway(app.wsgi_app, shared)  # type: ignore[method-assign]
    return app


def _http_error(error: HTTPException) -> Response:
    errors = current_app.extensions[fittings.NAME].errors
    answer: Response = errors.answer(error.code or 500, error.name, error.description or error.name)
    answer.headers.extend(
        header for header in error.get_headers() if header[0] not in ("Content-Type", "Content-Length")
    )
    return answer
