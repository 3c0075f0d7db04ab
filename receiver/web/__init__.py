"""The Flask application: callbacks, the API for downstream apps, operations."""

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from receiver.runtime import Runtime
from receiver.web import callbacks, docs_page, events, feed, health, payments, problems, replays
from receiver.web.callbacks import CallbackHandler, CallbackMiddleware
from receiver.web.problems import Outages

ROOMS = (events, payments, feed, replays, docs_page)


def create_app(runtime: Runtime) -> Flask:
    """Build the application over a process's parts."""
    app = Flask("receiver", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = runtime.settings.max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # A redirect would make a bank repeat its callback elsewhere, or not at all.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    json = DefaultJSONProvider(app)
    json.sort_keys = False
    app.json = json
    outages = Outages()
    problems.register(app, outages)
    door = CallbackHandler(runtime, outages)
    app.register_blueprint(callbacks.blueprint(door))
    app.register_blueprint(health.blueprint(runtime, outages))
    for room in ROOMS:
        app.register_blueprint(room.blueprint(runtime))
    app.wsgi_app = CallbackMiddleware(door, outages, app.wsgi_app)  # type: ignore[method-assign]
    return app
