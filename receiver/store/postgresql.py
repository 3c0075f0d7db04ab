"""How connections to PostgreSQL are opened: durable at each commit, with a deadline for what must not wait for ever.

A server that hangs, or behind a network that has swallowed it, refuses nothing: only a clock on this side tells.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, create_engine, event

from receiver.store.sqlite import BUSY_SECONDS

Returned = TypeVar("Returned")

_of_thread = threading.local()

LOOK_SECONDS = 0.1
"""How often a waiting thread looks whether it was interrupted; the driver's own value."""

STATEMENT_SECONDS = 60
"""Longer than any statement takes among millions of events, but for migrations, which lift it: it ends on the server
what a receiver that has gone left behind."""

CONNECT_SECONDS = 3

LEAST_CONNECT_SECONDS = 2
"""The driver takes no shorter time-out."""

NETWORK_LOST = {
    # A server that is silent is asked after 5 s, and given up after two more tries: else the system waits for hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    # What was sent and not acknowledged for so long is lost: else the system sends it again for 15 minutes.
    "tcp_user_timeout": 10_000,
}

SERVER_OPTIONS = {
    "synchronous_commit": "on",
    "timezone": "UTC",
    "lock_timeout": f"{BUSY_SECONDS}s",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    # A receiver that is silent, amid a transaction perhaps, is given up: else its locks stay for hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


@contextmanager
def bounded(seconds: float | None) -> Iterator[None]:
    """Within the block, have this thread wait for the server for so long in all; without end where it is none."""
    before = _ends()
    _of_thread.ends = None if seconds is None else time.monotonic() + seconds
    try:
        yield
    finally:
        _of_thread.ends = before


def left() -> float:
    """Return how long this thread may go on waiting, in seconds."""
    ends = _ends()
    return math.inf if ends is None else max(0.0, ends - time.monotonic())


def _ends() -> float | None:
    found: float | None = getattr(_of_thread, "ends", None)
    return found


class DeadlineConnection(psycopg.Connection[Any]):
    """Is closed when the server has not answered in time: nobody knows what state it is in then."""

    def wait(self, gen: PQGen[Returned], interval: float = LOOK_SECONDS, timeout: float | None = None) -> Returned:
        """Wait for the server's answer.

        Raises:
            psycopg.OperationalError: it did not come in time.
        """
        if _ends() is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, left())
        except psycopg.OperationalError as error:
            if left() > 0:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError("the server did not answer in time") from error


def postgresql_engine(url: str) -> Engine:
    """Return the engine for a server; it opens no connection yet."""
    engine = create_engine(
        url,
        pool_size=20,
        max_overflow=20,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": " ".join(f"-c {name}={value}" for name, value in SERVER_OPTIONS.items()),
            **NETWORK_LOST,
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> DeadlineConnection:
        if left() < LEAST_CONNECT_SECONDS:
            raise psycopg.OperationalError("the server did not answer in time")
        return DeadlineConnection.connect(*arguments, **parameters)

    return engine
