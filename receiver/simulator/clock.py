"""Time as an argument, so that a test can say what time it is."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Answers with the current time as an aware UTC datetime."""

Sleep = Callable[[float], object]
"""Waits so many seconds. A true answer means that the simulator is stopping and the caller should give up;
`threading.Event.wait` and `time.sleep` both fit."""


def utc_now() -> datetime:
    """Return the machine's time in UTC."""
    return datetime.now(UTC)
