"""The simulator as a WSGI application."""

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from receiver.simulator import control
from receiver.simulator.answers import error_answer
from receiver.simulator.bcb import control as bcb_control
from receiver.simulator.bcb import endpoints, gate
from receiver.simulator.bcb.refusals import BankRefusal
from receiver.simulator.gateway import Gateway
from receiver.simulator.parts import NAME, Parts

BODY_BYTES_MAX = 16_000_000


def create_app(parts: Parts) -> Flask:
    """Return the Flask application around `parts`; faults and the journal take effect in its `wsgi_app`."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.extensions[NAME] = parts
    app.register_blueprint(endpoints.blueprint())
    app.register_blueprint(control.blueprint())
    app.register_blueprint(bcb_control.blueprint())
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(BankRefusal, gate.answer)
    app.wsgi_app = Gateway(app.wsgi_app, parts.faults, parts.journal, parts.bank.clock, parts.sleep)  # type: ignore[method-assign]
    return app


def _http_error(error: HTTPException) -> Response:
    answer = error_answer(error.code or 500, error.name, error.description or error.name)
    answer.headers.extend(
        header for header in error.get_headers() if header[0] not in ("Content-Type", "Content-Length")
    )
    return answer
