"""Every metric by its name: what it says, and its labels. Rules and dashboards may name these, and no others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Metric(NamedTuple):
    """What a metric says, and the names of its labels."""

    about: str
    labels: Sequence[str] = ()


class Figure(NamedTuple):
    """One value of a gauge."""

    name: str
    value: float
    labels: Sequence[str] = ()
    """In the order of the metric's label names."""


DELIVERIES = "receiver_deliveries_total"
ANSWER_SECONDS = "receiver_answer_seconds"
BANK_REQUESTS = "receiver_bank_requests_total"

UNAVAILABLE = "unavailable"
"""The verdict on a delivery that is to be sent again (503)."""
REFUSED = "refused"
"""The verdict on a delivery of which nothing is stored: no such source, too large, not to be read."""

COUNTERS: Mapping[str, Metric] = {
    DELIVERIES: Metric("Callbacks answered, by what became of them", ("source", "verdict", "reason")),
    BANK_REQUESTS: Metric("Requests to banks, by how they ended", ("source", "outcome")),
}

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: banks wait 5 to 10 s."""

HISTOGRAMS: Mapping[str, Metric] = {
    ANSWER_SECONDS: Metric("From a callback's head until its answer"),
}

GAUGES: Mapping[str, Metric] = {
    "receiver_payments": Metric("Payments", ("source", "status", "agreement")),
    "receiver_oldest_unconfirmed_seconds": Metric(
        "Since the oldest payment became known that its bank has not confirmed", ("source",)
    ),
    "receiver_exceptions": Metric("What needs a person and is not resolved", ("kind", "source")),
    "receiver_feed_position": Metric("The last position of the feed"),
    "receiver_consumer_lag_entries": Metric("Positions that a consumer has not acknowledged", ("consumer",)),
    "receiver_consumer_lag_seconds": Metric("Age of the first entry it has not acknowledged", ("consumer",)),
    "receiver_bank_budget_remaining": Metric("Requests that the bank still takes in this window", ("source",)),
    "receiver_secret_age_seconds": Metric("Since the current signing secret was set", ("source",)),
    "receiver_certificate_expires_seconds": Metric(
        "Until the client certificate ends; without a source, that of HTTPS here", ("source",)
    ),
    "receiver_give_up_seconds": Metric("Until the bank stops sending, as what it sends is refused", ("source",)),
    "receiver_give_up_failures_left": Metric("Refusals until the bank stops sending", ("source",)),
    "receiver_worker_last_round_seconds": Metric("Since a worker was at work last"),
    "receiver_last_callback_seconds": Metric("Since the last new event came by a callback", ("source",)),
    "receiver_database_up": Metric("Whether the database could be read (1) or not (0)"),
    "receiver_disk_bytes": Metric("Size of the file system that SQLite's file is on"),
    "receiver_disk_free_bytes": Metric("Space left on it"),
}

EVERY: Mapping[str, Metric] = {**COUNTERS, **HISTOGRAMS, **GAUGES}
