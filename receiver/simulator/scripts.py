"""What a payment's or a job's status does as time passes."""

from dataclasses import dataclass

UNKNOWN = "unknown"
"""The status of something that the bank does not know yet: it answers 404 for as long as this step lasts."""


@dataclass(frozen=True)
class Step:
    """One status and for how many seconds it lasts; the last step of a script lasts for ever."""

    status: str
    seconds: float


@dataclass(frozen=True)
class Script:
    """Steps that follow one another from the moment the script starts."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("a script needs at least one step")

    @classmethod
    def of(cls, *steps: tuple[str, float]) -> "Script":
        """Make a script of (status, seconds) pairs.

        Raises:
            ValueError: where there is none.
        """
        return cls(tuple(Step(status, seconds) for status, seconds in steps))

    def at(self, elapsed: float) -> str:
        """Return the status that holds `elapsed` seconds after the start."""
        return self._step(elapsed).status

    def reached(self, elapsed: float) -> tuple[str, ...]:
        """Return every status that has come by `elapsed` seconds after the start, in order."""
        begins, found = 0.0, []
        for step in self.steps:
            if begins > elapsed:
                break
            found.append(step.status)
            begins += step.seconds
        return tuple(found)

    def since(self, elapsed: float) -> float:
        """Return when the status that holds `elapsed` seconds after the start has come, in seconds after the start."""
        begins = 0.0
        for step in self.steps[:-1]:
            if elapsed < begins + step.seconds:
                break
            begins += step.seconds
        return begins

    def faster(self, times: float) -> "Script":
        """Return the same script, so many times as fast."""
        return Script(tuple(Step(step.status, step.seconds / times) for step in self.steps))

    def ended(self, elapsed: float) -> bool:
        """Tell whether the last step is reached `elapsed` seconds after the start."""
        return elapsed >= sum(step.seconds for step in self.steps[:-1])

    @property
    def outcome(self) -> str:
        """The last status."""
        return self.steps[-1].status

    def _step(self, elapsed: float) -> Step:
        for step in self.steps[:-1]:
            if elapsed < step.seconds:
                return step
            elapsed -= step.seconds
        return self.steps[-1]
