"""How long PostgreSQL's answers are waited for, for what must not wait for ever.

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

Returned = TypeVar("Returned")

_of_thread = threading.local()

LOOK_SECONDS = 0.1
"""How often a waiting thread looks whether it was interrupted; the driver's own value."""


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
