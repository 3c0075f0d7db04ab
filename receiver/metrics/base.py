"""What every process counts and traces with: nothing, unless it is one that is looked into.

Those that do are `receiver.metrics.counters` and `receiver.metrics.traces`; the latter is imported where it is wanted.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from receiver.metrics.names import ANSWER_SECONDS

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from prometheus_client.metrics_core import Metric

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where traces are sent to: OpenTelemetry's own variables, one of which turns them on."""

TRACES_TIMEOUT = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"

CALLBACKS = "/webhooks/{source}"
"""What the spans of callbacks are called by: the path holds a token with some banks."""


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


class Traces:
    """Traces nothing, and costs nothing."""

    is_on = False

    def counters(self, counters: Counters) -> Counters:
        """Return counters that tell the span under way what they count."""
        return counters

    def around(self, app: "WSGIApplication") -> "WSGIApplication":
        """Return an application whose requests are traced."""
        return app

    def route(self, rule: str) -> None:
        """Say which rule the path of the request under way fits."""

    def begin_statement(self, statement: str, system: str) -> object:
        """Note that a database (`sqlite`, `postgresql`) is sent a statement; what is returned ends it. Raises none."""

    def end_statement(self, begun: object, error: str | None) -> None:
        """Note that a statement has ended, or failed with an error of this kind. Raises nothing."""


NO_TRACES = Traces()


def traces_wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for traces, as OpenTelemetry has it."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip() not in ("", "otlp"):
        return False
    return any(environment.get(name, "").strip() for name in ENDPOINTS)


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
