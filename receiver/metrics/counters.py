"""Counters of what happens: none, those of one process, or those of all processes that share a directory.

And how they are written, with the gauges, as Prometheus reads them: OpenMetrics, or its older text format.

Processes share by files that each maps into its memory (prometheus-client's multiprocess mode), so that to count costs
no more than a write to memory, and whoever is asked adds them all up.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest, values
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics

from receiver.metrics import names, shared_files
from receiver.metrics.base import Counters
from receiver.metrics.names import Figure


class Counted(Counters):
    """Counters that count; any number of threads may."""

    def __init__(self, directory: Path | None = None) -> None:
        """Count together with all processes that share `directory`, or for this process alone.

        Raises:
            OSError: the directory can't be made or written, is another user's, or its file system is full.
        """
        self._directory = directory
        if directory is not None:
            shared_files.prepare(directory)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
            values.ValueClass = values.MultiProcessValue()
        else:
            values.ValueClass = values.MutexValue
        disable_created_metrics()
        self._own = CollectorRegistry()
        self._counters = {
            name: Counter(name, metric.about, metric.labels, registry=self._own)
            for name, metric in names.COUNTERS.items()
        }
        about = names.HISTOGRAMS[names.ANSWER_SECONDS].about
        self._seconds = Histogram(names.ANSWER_SECONDS, about, buckets=names.BUCKETS, registry=self._own)
        self._children: dict[tuple[str, ...], Counter] = {}

    def delivered(self, source: str, verdict: str, reason: str, seconds: float) -> None:
        """Count a callback that was answered within `seconds`."""
        self._child(names.DELIVERIES, source, verdict, reason).inc()
        self._seconds.observe(seconds)

    def asked(self, source: str, outcome: str) -> None:
        """Count a request to a bank."""
        self._child(names.BANK_REQUESTS, source, outcome).inc()

    def _child(self, name: str, *labels: str) -> Counter:
        """Return one counter: prometheus-client's own way to it takes longer than to count."""
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            if len(self._children) >= shared_files.SERIES_MAX:
                labels = ("", labels[1], "")[: len(labels)]
            child = self._children[key[:1] + labels] = self._counters[name].labels(*labels)
        return child

    def collect(self) -> Iterable[Metric]:
        """Return what all processes have counted by now."""
        if self._directory is None:
            return list(self._own.collect())
        with shared_files.looking(self._directory):
            return list(MultiProcessCollector(None, str(self._directory)).collect())


OPENMETRICS = "application/openmetrics-text"

TEXT = "text/plain"
"""Prometheus's older format, for who wants it more than OpenMetrics."""

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
"""See RFC 9110 section 12.4.2."""


class _Gauges:
    """Hands figures over in the way that prometheus-client asks for them."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._found: dict[str, list[Figure]] = {}
        for figure in figures:
            self._found.setdefault(figure.name, []).append(figure)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges that have a value."""
        for name, found in self._found.items():
            about, labels = names.GAUGES[name]
            family = GaugeMetricFamily(name, about, labels=labels)
            for figure in found:
                family.add_metric(list(figure.labels), figure.value)
            yield family


def exposition(counters: Counters, figures: Iterable[Figure], accept: str) -> tuple[bytes, str]:
    """Return all metrics, and their media type, for who sends the header `Accept`."""
    registry = CollectorRegistry()
    registry.register(_Gauges(figures))
    registry.register(counters)
    # prometheus-client's own way to choose fails at a version that is no number.
    if _weight(accept, TEXT) > _weight(accept, OPENMETRICS):
        return generate_latest(registry), f"{TEXT}; version=0.0.4; charset=utf-8"
    return openmetrics.generate_latest(registry), f"{OPENMETRICS}; version=1.0.0; charset=utf-8"


def _weight(accept: str, media_type: str) -> float:
    """Return how much a media type is wanted that stands in `Accept` by its name; 0 where it does not."""
    weights = [0.0]
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        if name == media_type:
            weight = next((found[1] for word in parameters if (found := _WEIGHT.fullmatch(word))), "1")
            weights.append(float(weight))
    return max(weights)
