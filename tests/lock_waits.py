"""Who waits for a lock of the database, and waiting until somebody does: a minute at most."""

import threading
import time
from collections.abc import Callable

from sqlalchemy import text

from receiver.runtime import Runtime

SECONDS = 60


def waiting(parts: Runtime) -> int:
    """How many wait for a lock of this database (PostgreSQL)."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with parts.database.read() as connection:
        return int(connection.execute(text(query)).scalar_one())


def wait_until(is_so: Callable[[], object]) -> None:
    ends = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < ends, "it did not come to be within a minute"
        threading.Event().wait(0.01)
