"""Whether the process is up, and whether it can do its work."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from flask import Response

from receiver.runtime import Runtime
from receiver.store import schema
from receiver.store.database import Database, StoreUnavailable, check_writable
from receiver.store.schema import NotMigrated
from receiver.web.operation import Operation
from receiver.web.problems import Outages, problem
from receiver.web.schemas.base import Health, Index

LOOK_SECONDS = 1.0
"""How long a look at the database is good for: whoever asks within that time is told the same."""

Found = TypeVar("Found")

READY = {503: "The database can't be written, or has tables of an earlier release, or none."}

INDEX = Index(
    service="bank callback receiver",
    places={
        "callbacks": "POST /webhooks/<source>",
        "api": ["/api/v1/events", "/api/v1/payments", "/api/v1/feed"],
        "description": ["/docs", "/openapi.json"],
        "health": ["/healthz", "/readyz", "/metrics"],
    },
)


class SharedLook(Generic[Found]):
    """A look that anybody may ask for, done once for all who ask in the same second; any number of threads may."""

    _found: Found

    def __init__(self, look: Callable[[], Found], timer: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._timer = timer
        self._looking = threading.Lock()
        self._looked_when = float("-inf")

    def found(self) -> Found:
        """Return what was found within the last `LOOK_SECONDS`; where looking fails, whoever asks next looks anew."""
        came_when = self._timer()
        with self._looking:
            # Whoever had to wait for another's look shares what it found, however long that took.
            if came_when - self._looked_when >= LOOK_SECONDS:
                self._found = self._look()
                self._looked_when = self._timer()
            return self._found


class Readiness:
    """Whether the database is migrated and can be written, looked at once for all who ask in the same second.

    A look writes, and anybody may ask.
    """

    def __init__(self, database: Database, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._shared = SharedLook(self._look, timer)

    def check(self) -> None:
        """Say that all is well.

        Raises:
            NotMigrated
            StoreUnavailable
        """
        found = self._shared.found()
        if found is not None:
            raise type(found)(*found.args) from found

    def _look(self) -> NotMigrated | StoreUnavailable | None:
        try:
            # An upgrade while this one takes callbacks must not have a balancer take it away before the next one is up.
            schema.check(self._database, or_newer=True)
            check_writable(self._database)
        except (NotMigrated, StoreUnavailable) as error:
            return error
        return None


class Operations:
    """The views for whoever runs the receiver."""

    def __init__(self, runtime: Runtime, outages: Outages) -> None:
        """Take a process's parts, and the log of outages, which a success ends."""
        self._readiness = Readiness(runtime.database)
        self._outages = outages

    @Operation("GET /healthz", answers={200: Health}, asks_database=False)
    def healthz(self) -> Health:
        """Answer that the process is up."""
        return Health(status="ok")

    @Operation("GET /readyz", answers={200: Health}, problems=READY)
    def readyz(self) -> Health | Response:
        """Answer whether the database is migrated and can be written, as it was within the last second.

        Why it can't be is for the log: anybody may ask here.
        """
        try:
            self._readiness.check()
        except NotMigrated as error:
            return problem(503, str(error), {"Retry-After": "5"})
        self._outages.succeeded()
        return Health(status="ready")

    @Operation("GET /", answers={200: Index}, asks_database=False)
    def index(self) -> Index:
        """Where things are."""
        return INDEX
