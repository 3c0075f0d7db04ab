"""What every process counts with: nothing, unless it is one that is looked into (`receiver.metrics.counters`)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

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
