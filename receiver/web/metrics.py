"""`GET /metrics`: what Prometheus reads, for who has the token, or asks from this very machine."""

import hmac
import ipaddress
import time
from collections.abc import Callable, Sequence
from typing import Annotated

from flask import Response, request
from pydantic import Field

from receiver.admin.figures import Gauges
from receiver.metrics.counters import exposition
from receiver.metrics.names import Figure
from receiver.runtime import Runtime
from receiver.signing import addresses
from receiver.web.health import SharedLook
from receiver.web.operation import Content, Operation
from receiver.web.problems import Problem
from receiver.web.schemas.base import LeftOut, Shape

FORWARDING = (
    *("Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip"),
    *("X-Cluster-Client-Ip", "X-Original-Forwarded-For", "X-Envoy-External-Address"),
)
"""Headers by which proxies say for whom they ask, besides those that begin with `X-Forwarded-`."""

TEXT = {"type": "string"}

EXPOSED = Content(
    "All metrics: OpenMetrics, or Prometheus's older text format where the header `Accept` wants `text/plain` more.",
    {"application/openmetrics-text": TEXT, "text/plain": TEXT},
)

PROBLEMS = {
    401: "The token of `RECEIVER_METRICS_TOKEN` is missing or wrong.",
    403: "No token is set, and the request did not come directly from this machine.",
}


class MetricsHeaders(Shape):
    """What whoever asks shows."""

    authorization: LeftOut[Annotated[str, Field(examples=["Bearer …"])]] = Field(
        default_factory=lambda: None,
        alias="Authorization",
        description="`Bearer` and the token, where `RECEIVER_METRICS_TOKEN` is set.",
    )


class Metrics:
    """The view, and the gauges that all who ask in the same second share."""

    def __init__(self, runtime: Runtime, timer: Callable[[], float] = time.monotonic) -> None:
        """Take a process's parts."""
        token = runtime.settings.metrics_token
        self._token = None if token is None else token.get_secret_value().encode()
        self._proxies = runtime.settings.trusted_proxies
        self._counters = runtime.counters
        self._figures: SharedLook[Sequence[Figure]] = SharedLook(Gauges(runtime).read, timer)

    @Operation("GET /metrics", headers=MetricsHeaders, answers={200: EXPOSED}, problems=PROBLEMS, asks_database=False)
    def metrics(self) -> Response:
        """Answer all metrics, the gauges as they were within the last second.

        Where the database can't be read, the counters and `receiver_database_up` are still told.
        """
        self._check()
        text, content_type = exposition(self._counters, self._figures.found(), request.headers.get("Accept", ""))
        return Response(text, content_type=content_type, headers={"Cache-Control": "no-store"})

    def _check(self) -> None:
        """Let in who has the token; where none is set, who asks from this machine and for nobody else.

        Raises:
            Problem
        """
        if self._token is not None:
            kind, _, shown = request.headers.get("Authorization", "").partition(" ")
            # These blanks alone: as Latin-1 others are parts of letters.
            given = shown.strip(" \t").encode("latin-1", "replace")
            if kind.lower() != "bearer" or not hmac.compare_digest(given, self._token):
                raise Problem(401, "Show the token of the metrics.", {"WWW-Authenticate": "Bearer"})
        elif not self._is_direct():
            raise Problem(403, "Without RECEIVER_METRICS_TOKEN, metrics are for direct requests from this machine.")

    def _is_direct(self) -> bool:
        peer = request.environ.get("REMOTE_ADDR", "")
        if not _is_loopback(peer) or addresses.is_trusted(peer, self._proxies):
            return False
        names = [name.title() for name in request.headers.keys()]  # noqa: SIM118 - these are headers
        return not any(name in FORWARDING or name.startswith("X-Forwarded") for name in names)


def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
