"""What every process counts with: nothing, unless it is one that is looked into (`receiver.metrics.counters`)."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from receiver.metrics.names import ANSWER_SECONDS

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class Counters:
    """Counts nothing: what a command of the command line does is not looked into."""

    def delivered(self, source: str, verdict: str, reason: str, seconds: float) -> None:
        """Count a callback that was answered within `seconds`.

        `source` is the name of one that there is, or empty; `verdict` one of `receiver.model.Verdict`, `UNAVAILABLE` or
        `REFUSED`; `reason` one of the words of this program.
        """

    def asked(self, source: str, outcome: str) -> None:
        """Count a request to a source's bank: `answered`, or the outcome of a `BankError`."""

    def collect(self) -> Iterable["Metric"]:
        """Return what all processes have counted by now."""
        return ()


NOTHING = Counters()


class AnswerTimes(NamedTuple):
    """Within how many seconds callbacks were answered since counting began, rounded up to a bound of the histogram."""

    number: int
    """How many were answered."""
    half: float
    """Within which half of them were; infinite beyond the last bound."""
    most: float
    """Within which 95 in 100 of them were."""


def answer_times(counters: Counters) -> AnswerTimes | None:
    """Return how fast all processes have answered callbacks; none where none was counted."""
    samples = (sample for metric in counters.collect() for sample in metric.samples)
    bounds = sorted(
        (float(sample.labels["le"]), sample.value) for sample in samples if sample.name == f"{ANSWER_SECONDS}_bucket"
    )
    number = bounds[-1][1] if bounds else 0
    if not number:
        return None

    def within(share: float) -> float:
        return next((bound for bound, answered in bounds if answered >= share * number), math.inf)

    return AnswerTimes(int(number), within(0.5), within(0.95))
