"""Writing metrics as Prometheus reads them: OpenMetrics, or its older text format for who asks for nothing else."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics

from receiver.metrics import names
from receiver.metrics.base import Counters
from receiver.metrics.names import Figure

OPENMETRICS = "application/openmetrics-text"


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
    is_open = any(part.partition(";")[0].strip().lower() == OPENMETRICS for part in accept.split(","))
    if is_open:
        return openmetrics.generate_latest(registry), f"{OPENMETRICS}; version=1.0.0; charset=utf-8"
    return generate_latest(registry), "text/plain; version=0.0.4; charset=utf-8"
