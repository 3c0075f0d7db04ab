"""A clock that runs, and can be set forward: for workers beside real servers."""

from datetime import datetime, timedelta

from receiver.runtime import utc_now


class MovingClock:
    """The real time, and what it was set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def forward(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)
