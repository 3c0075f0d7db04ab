"""Whether the process is up, and whether it can do its work."""

from flask import Blueprint, Response, jsonify

from receiver.runtime import Runtime
from receiver.store import schema
from receiver.store.database import is_writable
from receiver.store.schema import NotMigrated
from receiver.web import schemas
from receiver.web.describing import Description, describes, shows
from receiver.web.problems import Outages, problem

UP = Description(answers={200: shows(schemas.Health)}, asks_database=False)
READY = Description(
    answers={200: shows(schemas.Health)}, problems={503: "The database can't be written, or is of another release."}
)
INDEX = Description(answers={200: shows(schemas.Index)}, asks_database=False)


def blueprint(runtime: Runtime, outages: Outages) -> Blueprint:
    """Build the routes over a process's parts."""
    routes = Blueprint("operations", __name__)

    @routes.get("/healthz")
    @describes(UP)
    def healthz() -> Response:
        """Answer that the process is up."""
        return jsonify({"status": "ok"})

    @routes.get("/readyz")
    @describes(READY)
    def readyz() -> Response:
        """Answer whether the database is migrated and can be written.

        Why it can't be is for the log: anybody may ask here.
        """
        try:
            schema.check(runtime.database)
        except NotMigrated as error:
            return problem(503, str(error), {"Retry-After": "5"})
        is_writable(runtime.database)
        outages.succeeded()
        return jsonify({"status": "ready"})

    @routes.get("/")
    @describes(INDEX)
    def index() -> Response:
        """Where things are."""
        places = {
            "callbacks": "POST /webhooks/<source>",
            "api": ["/api/v1/events", "/api/v1/payments", "/api/v1/feed"],
            "description": ["/docs", "/openapi.json"],
            "health": ["/healthz", "/readyz"],
        }
        return jsonify({"service": "bank callback receiver", "places": places})

    return routes
