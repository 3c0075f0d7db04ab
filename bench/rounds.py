"""Rounds: each contestant in turn, again and again, so that what disturbs the machine disturbs all of them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from bench import signed
from bench.contestants import CONTESTANTS, Contestant
from bench.load import Generator, Measured, Shape
from bench.stage import Stage

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

    @property
    def errors(self) -> int:
        """Requests without a 2xx, of all rounds."""
        return sum(measured.errors for measured in self.rounds)


class Hall:
    """The contestants, all started, and the generator."""

    def __init__(self, stage: Stage, generator: Generator) -> None:
        """Nobody has started yet."""
        self._stage = stage
        self._generator = generator
        self._closing = ExitStack()
        self._answered: dict[str, int] = {}
        self.contestants: list[Contestant] = []

    def __enter__(self) -> "Hall":
        """See `start`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them all."""
        self._closing.close()

    def start(self, names: Sequence[str]) -> None:
        """Start contestants."""
        for name in names:
            contestant = self._closing.enter_context(CONTESTANTS[name](self._stage))
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
        self._answered[contestant.name] += int(measured.load["ok"])
        return measured

    def rounds(self, shape: Shape, number: int) -> list[Result]:
        """Measure each contestant so many times, in turn."""
        results = [Result(contestant.name) for contestant in self.contestants]
        for _ in range(number):
            for contestant, result in zip(self.contestants, results, strict=True):
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
