"""What the bank does wrong on demand, for which paths, and how often."""

import random
import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from receiver.simulator.json_bodies import RetryAfterForm

Kind = Literal["429", "500", "503", "error", "slow", "hang-up", "truncated", "not-json", "expired-token", "huge"]

HUGE_BYTES = 50_000_000


@dataclass(frozen=True)
class Fault:
    """One fault.

    `path` is a pattern in the manner of a shell, in which `*` also stands for slashes; `count` is how many requests it
    spoils (None: all, until the faults are cleared). `seconds` is how long a `slow` answer takes, or when a `429` or
    `503` says to come back; `size` is how many bytes a `huge` answer has; `status` is that of an `error`. `shape` is
    one of the bank's shapes of errors (None: its usual one). `share` is the part of the requests that it spoils, at
    random but in the same way in each run: 0.05 is one in twenty.
    """

    kind: Kind
    path: str = "*"
    count: int | None = 1
    seconds: float | None = None
    size: int = HUGE_BYTES
    shape: str | None = None
    retry_after: RetryAfterForm = "minutes"
    status: int = 400
    share: float = 1.0


class Faults:
    """The faults in force, in the order in which they were added; a request meets at most one."""

    def __init__(self) -> None:
        """Start without a fault."""
        self._left: list[tuple[Fault, int | None]] = []
        self._random = random.Random(0)  # noqa: S311 - no secret
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Put a fault in force, after those that are."""
        with self._lock:
            self._left.append((fault, fault.count))

    def take(self, path: str) -> Fault | None:
        """Return the first fault that fits `path` and spoils this request, one use of it spent, or None."""
        with self._lock:
            for index, (fault, left) in enumerate(self._left):
                if fnmatchcase(path, fault.path) and (fault.share >= 1 or self._random.random() < fault.share):
                    self._spend(index, fault, left)
                    return fault
        return None

    def left(self) -> list[tuple[Fault, int | None]]:
        """Return the faults in force, each with how many uses are left (None: no end)."""
        with self._lock:
            return list(self._left)

    def clear(self) -> None:
        """Put an end to all faults."""
        with self._lock:
            self._left.clear()

    def _spend(self, index: int, fault: Fault, left: int | None) -> None:
        if left is None:
            return
        if left <= 1:
            del self._left[index]
        else:
            self._left[index] = (fault, left - 1)
