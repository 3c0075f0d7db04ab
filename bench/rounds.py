"""Rounds: each contestant in turn, again and again, so that what disturbs the machine disturbs all of them."""

import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from bench import signed
from bench.contestants import Contestant, Missing
from bench.field import CONTESTANTS
from bench.load import Generator, Measured, Shape
from bench.stage import Serving, Stage

MOST_A_SECOND = 14_000
"""So many are signed for each second of a closed loop; a generator that runs dry ends its round early, and says so."""


@dataclass
class Result:
    """What the rounds of one contestant measured."""

    name: str
    rounds: list[Measured] = field(default_factory=list)

    def values(self, name: str) -> list[float]:
        """One of the generator's figures, of each round."""
        return [measured.load[name] for measured in self.rounds]

    def middle(self, name: str) -> float:
        """Its median."""
        return median(self.values(name))

    def record(self) -> list[dict[str, float]]:
        """Everything of each round."""
        return [measured.record() for measured in self.rounds]

    @property
    def errors(self) -> int:
        """Requests without a 2xx, of all rounds."""
        return sum(measured.errors for measured in self.rounds)


QUIET = 0.1
"""Of one core, over a fifth of a second: who uses less has nothing left to do."""

SETTLE_SECONDS = 60


def settle(serving: Serving) -> float:
    """Wait until a server has done what it put off, so that it does not disturb the next; return for how long."""
    started = time.monotonic()
    used = serving.cpu()
    while time.monotonic() - started < SETTLE_SECONDS:
        time.sleep(0.2)
        before, used = used, serving.cpu()
        if used - before < QUIET * 0.2:
            break
    return time.monotonic() - started


class Contest:
    """The contestants, all started, and the generator."""

    def __init__(self, stage: Stage, generator: Generator) -> None:
        """Nobody has started yet."""
        self._stage = stage
        self._generator = generator
        self._closing = ExitStack()
        self._answered: dict[str, int] = {}
        self.contestants: list[Contestant] = []
        self.missing: dict[str, str] = {}

    def __enter__(self) -> "Contest":
        """See `start`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them all."""
        self._closing.close()

    def start(self, names: Sequence[str]) -> None:
        """Start those who can take part here; `missing` says why the others can't."""
        for name in names:
            try:
                contestant = self._closing.enter_context(CONTESTANTS[name](self._stage))
            except (Missing, RuntimeError, TimeoutError, subprocess.CalledProcessError) as error:
                if name.startswith("ours"):
                    raise
                self.missing[name] = f"{name}: {error}"
                print(f"can't take part: {self.missing[name]}", file=sys.stderr)
                continue
            contestant.name = name
            self.contestants.append(contestant)
            self._answered[name] = 0

    def measure(self, contestant: Contestant, shape: Shape) -> Measured:
        """Run the load once, with callbacks signed just now."""
        number = shape.limit or int((shape.seconds + shape.warmup) * (shape.rate or MOST_A_SECOND)) + 1
        file = self._generator.folder / "requests"
        signed.write(file, contestant.signer, contestant.path, number, fresh=shape.fresh)
        measured = self._generator.run(contestant.serving.port, file, shape, lambda: self._sample(contestant))
        file.unlink()
        measured.extra["settled_after"] = settle(contestant.serving)
        self._answered[contestant.name] += int(measured.load["ok"])
        return measured

    def rounds(self, shape: Shape, number: int, names: Collection[str] | None = None) -> list[Result]:
        """Measure each contestant, or those named, so many times, in turn."""
        chosen = [contestant for contestant in self.contestants if names is None or contestant.name in names]
        results = [Result(contestant.name) for contestant in chosen]
        for turn in range(number):
            for contestant, result in zip(chosen, results, strict=True):
                print(f"{shape.summary()}, round {turn + 1} of {number}: {contestant.name}", file=sys.stderr)
                result.rounds.append(self.measure(contestant, shape))
        return results

    def check(self) -> None:
        """Whoever stores callbacks must have stored each that it answered.

        Raises:
            AssertionError
        """
        for contestant in self.contestants:
            stored, answered = contestant.stored(), self._answered[contestant.name]
            assert stored is None or stored >= answered, f"{contestant.name} stored {stored} of {answered}"

    def _sample(self, contestant: Contestant) -> tuple[float, float, int]:
        disk = self._stage.disk
        return contestant.serving.cpu(), self._stage.database_cpu(), disk.syncs if disk else 0
