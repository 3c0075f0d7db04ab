"""The Flask application: callbacks, the API for downstream apps, operations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask, Response

    from receiver.metrics.base import Traces
    from receiver.runtime import Runtime


def create_app(runtime: Runtime) -> Flask:
    """Build the application over a process's parts."""
    # Imported here, so that the command line has `receiver.web.schemas` without Flask.
    from flask import Flask

    from receiver.web import problems
    from receiver.web.auth import Tokens
    from receiver.web.callbacks import CallbackHandler, CallbackMiddleware
    from receiver.web.days import Days
    from receiver.web.docs_page import Reference, prose
    from receiver.web.events import Events, Payloads
    from receiver.web.exceptions import Exceptions
    from receiver.web.feed import Consumers, Feed
    from receiver.web.health import Operations
    from receiver.web.metrics import Metrics
    from receiver.web.operation import blueprint
    from receiver.web.payments import Payments
    from receiver.web.replays import Replays
    from receiver.web.staff import register as register_staff

    app = Flask("receiver", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = runtime.settings.max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # A redirect would make a bank repeat its callback elsewhere, or not at all.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.add_template_filter(prose)
    outages = problems.Outages()
    problems.register(app, outages)
    callbacks = CallbackHandler(runtime, outages)
    tokens = Tokens(runtime)
    rooms = {
        "callbacks": callbacks,
        "operations": Operations(runtime, outages),
        "metrics": Metrics(runtime),
        "events": Events(runtime),
        "payloads": Payloads(runtime, callbacks.bodies),
        "payments": Payments(runtime),
        "days": Days(runtime),
        "exceptions": Exceptions(runtime),
        "feed": Feed(runtime),
        "consumers": Consumers(runtime),
        "replays": Replays(runtime),
        "reference": Reference(runtime),
    }
    for name, views in rooms.items():
        app.register_blueprint(blueprint(name, views, tokens, runtime.settings.public_path_prefix))
    register_staff(app, runtime, outages)
    app.after_request(_private)
    wsgi = CallbackMiddleware(callbacks, outages, app.wsgi_app)
    if runtime.traces.is_on:
        app.before_request(partial(_name_route, runtime.traces))
    app.wsgi_app = runtime.traces.around(wsgi)  # type: ignore[assignment, method-assign]
    return app


def _name_route(traces: Traces) -> None:
    """Say in a trace which route it is: the path itself holds ids, and a query what somebody searched for."""
    from flask import request

    if request.url_rule is not None:
        traces.route(request.url_rule.rule)


def _private(response: Response) -> Response:
    """Let nobody on the way keep an answer of the API, or take it for something else than its type says."""
    from flask import request

    if request.path.startswith("/api/v1"):
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
    return response
