"""A process's own clock for tests."""


class Timer:
    """Stands until it is set forward, and notes who would have slept."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Return what it shows, in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Note it, and go on at once."""
        self.slept.append(round(seconds, 6))
