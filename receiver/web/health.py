"""Whether the process is up, and whether it can do its work."""

from flask import Response

from receiver.runtime import Runtime
from receiver.store import schema
from receiver.store.database import is_writable
from receiver.store.schema import NotMigrated
from receiver.web.operation import Operation
from receiver.web.problems import Outages, problem
from receiver.web.schemas.base import Health, Index

READY = {503: "The database can't be written, or is of another release."}

INDEX = Index(
    service="bank callback receiver",
    places={
        "callbacks": "POST /webhooks/<source>",
        "api": ["/api/v1/events", "/api/v1/payments", "/api/v1/feed"],
        "description": ["/docs", "/openapi.json"],
        "health": ["/healthz", "/readyz"],
    },
)


class Operations:
    """The views for whoever runs the receiver."""

    def __init__(self, runtime: Runtime, outages: Outages) -> None:
        """Take a process's parts, and the log of outages, which a success ends."""
        self._database = runtime.database
        self._outages = outages

    @Operation("GET /healthz", answers={200: Health}, asks_database=False)
    def healthz(self) -> Health:
        """Answer that the process is up."""
        return Health(status="ok")

    @Operation("GET /readyz", answers={200: Health}, problems=READY)
    def readyz(self) -> Health | Response:
        """Answer whether the database is migrated and can be written.

        Why it can't be is for the log: anybody may ask here.
        """
        try:
            schema.check(self._database)
        except NotMigrated as error:
            return problem(503, str(error), {"Retry-After": "5"})
        is_writable(self._database)
        self._outages.succeeded()
        return Health(status="ready")

    @Operation("GET /", answers={200: Index}, asks_database=False)
    def index(self) -> Index:
        """Where things are."""
        return INDEX
