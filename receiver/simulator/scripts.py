"""Time as an argument, and what it does to the status of a payment or a job: a script of steps."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

Clock = Callable[[], datetime]
"""Answers with the current time as an aware UTC datetime."""

Sleep = Callable[[float], object]
"""Waits so many seconds. A true answer means that the simulator is stopping and the caller should give up;
`threading.Event.wait` and `time.sleep` both fit."""

UNKNOWN = "unknown"
"""The status of something that the bank does not know yet: it answers 404 for as long as this step lasts."""


def utc_now() -> datetime:
    """Return the machine's time in UTC."""
    return datetime.now(UTC)


class SetClock:
    """A clock that follows another one until it is set, and may run faster than it."""

    def __init__(self, base: Clock) -> None:
        """Begin as `base` stands, and as fast."""
        self._base = base
        self._speed = 1.0
        self._from = self._at = base()
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Return the time that it shows (UTC)."""
        with self._lock:
            return self._now()

    @property
    def speed(self) -> float:
        """How many times as fast as its base it runs."""
        return self._speed

    def set(self, at: datetime | None = None, speed: float | None = None, forward: float = 0) -> None:
        """Show `at` (None: as it stands), `forward` seconds later, and run on at `speed` (None: as before).

        Raises:
            OverflowError: a time beyond all bounds.
        """
        with self._lock:
            self._at = (self._now() if at is None else at) + timedelta(seconds=forward)
            self._from = self._base()
            self._speed = self._speed if speed is None else speed

    def _now(self) -> datetime:
        return self._at + (self._base() - self._from) * self._speed


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
        """Check that there is a step."""
        if not self.steps:
            raise ValueError("a script needs at least one step")

    @classmethod
    def of(cls, *steps: tuple[str, float]) -> "Script":
        """Make a script of (status, seconds) pairs.

        Raises:
            ValueError: where there is none.
        """
        return cls(tuple(Step(status, seconds) for status, seconds in steps))

    def reached(self, elapsed: float) -> tuple[str, ...]:
        """Return every status that has come by `elapsed` seconds after the start, in order."""
        begins, found = 0.0, []
        for step in self.steps:
            if begins > elapsed:
                break
            found.append(step.status)
            begins += step.seconds
        return tuple(found)

    def at(self, elapsed: float) -> str:
        """Return the status that holds `elapsed` seconds after the start."""
        return self._current(elapsed)[0].status

    def since(self, elapsed: float) -> float:
        """Return when the status that holds `elapsed` seconds after the start has come, in seconds after the start."""
        return self._current(elapsed)[1]

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

    def as_json(self) -> list[list[object]]:
        """Return the script as control requests write it, `[["Pending", 2], ["Completed", 0]]`."""
        return [[step.status, step.seconds] for step in self.steps]

    def _current(self, elapsed: float) -> tuple[Step, float]:
        begins = 0.0
        for step in self.steps[:-1]:
            if elapsed < begins + step.seconds:
                return step, begins
            begins += step.seconds
        return self.steps[-1], begins


class Scripted:
    """One whose status follows a script from `started` (UTC) on; `announced` says whether its changes call back."""

    script: Script
    started: datetime
    announced: bool

    def status(self, now: datetime) -> str | None:
        """Return the status at `now`, or None while the bank does not know of it."""
        status = self.script.at(self.age(now))
        return None if status == UNKNOWN else status

    def age(self, now: datetime) -> float:
        """Return how many seconds ago the script has started."""
        return (now - self.started).total_seconds()


EntryT = TypeVar("EntryT", bound=Scripted)


class Registry(Generic[EntryT]):
    """What the bank knows by id, in the order in which it came, and which changes of status have been announced."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: dict[str, EntryT] = {}
        self._announced: dict[str, int] = {}
        self._lock = threading.Lock()

    def put(self, entry_id: str, entry: EntryT) -> None:
        """Add an entry, or replace the one with its id; its script is announced from the start."""
        with self._lock:
            self._entries[entry_id] = entry
            self._announced.pop(entry_id, None)
            if entry.announced:
                self._announced[entry_id] = 0

    def replace(self, entry_id: str, entry: EntryT) -> None:
        """Put another state of an entry in its place; what was announced of it is not announced once more."""
        with self._lock:
            self._entries[entry_id] = entry

    def get(self, entry_id: str) -> EntryT | None:
        """Return an entry by its id, known to the bank's callers yet or not."""
        with self._lock:
            return self._entries.get(entry_id)

    def all(self) -> list[EntryT]:
        """Return every entry, oldest first."""
        with self._lock:
            return list(self._entries.values())

    def clear(self) -> None:
        """Forget every entry."""
        with self._lock:
            self._entries.clear()
            self._announced.clear()

    def known(self, now: datetime) -> list[tuple[EntryT, str]]:
        """Return what the bank knows at `now`, each with its status, oldest first."""
        return [(entry, status) for entry in self.all() if (status := entry.status(now)) is not None]

    def take_changes(self, now: datetime) -> list[tuple[EntryT, str]]:
        """Return each status that an announced entry has come to since this was last asked, in order."""
        changes = []
        with self._lock:
            for entry_id, count in list(self._announced.items()):
                entry = self._entries[entry_id]
                reached = entry.script.reached(entry.age(now))
                changes += [(entry, status) for status in reached[count:] if status != UNKNOWN]
                self._announced[entry_id] = len(reached)
                if len(reached) == len(entry.script.steps):
                    del self._announced[entry_id]
        return changes
