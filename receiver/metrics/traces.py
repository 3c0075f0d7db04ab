"""Traces by OpenTelemetry (the extra `tracing`): a span for each request taken, each one made, each statement within.

What a span may say is a list (`SAID`): no body, no header, no query, no address, no id. Nothing is believed of a trace
that a request claims to be part of, and no bank is told of ours. What can't be sent is dropped.
"""

import atexit
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as RecordingSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TraceState
from opentelemetry.util.re import parse_env_headers
from opentelemetry.util.types import Attributes

from receiver.metrics.base import CALLBACKS, TRACES_TIMEOUT, Counters, Traces

log = logging.getLogger(__name__)

SERVICE = "receiver"
"""What traces are called by, where `OTEL_SERVICE_NAME` says nothing."""

SOURCE, VERDICT, REASON = "receiver.source", "receiver.verdict", "receiver.reason"
METHOD, ROUTE, STATUS, SYSTEM = "http.request.method", "http.route", "http.response.status_code", "db.system.name"

SAID = frozenset({SOURCE, VERDICT, REASON, METHOD, ROUTE, STATUS, SYSTEM, "server.address", "error.type"})
"""The attributes that are sent; instrumentation of others adds whole addresses of the bank, with ids in them."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
"""What else is sent along with traces; of these the first one that is set counts, and they hold secrets."""

SEND_SECONDS = "2"
"""How long sending may take where `OTEL_EXPORTER_OTLP_TIMEOUT` says nothing: a stop waits for the last one."""

NOT_TRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What machines ask for every few seconds."""


class OpenTelemetry(Traces):
    """Traces of one process; any number of threads may add to them."""

    is_on = True

    def __init__(self) -> None:
        """Start sending, as `OTEL_…` in the environment says.

        Raises:
            Exception: one of these is wrong; the library raises whatever it likes then.
        """
        _check_headers(os.environ)
        os.environ.setdefault(TRACES_TIMEOUT, os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", SEND_SECONDS))
        # Its attributes have the names that are stable by now.
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
        self._faults = _Faults()
        processors = _Processors(self._faults)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False, active_span_processor=processors)
        self._provider.sampler = _WithinRequests(self._provider.sampler, self._faults)
        self._exporter = _Exporter(OTLPSpanExporter())
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("receiver")
        propagate.set_global_textmap(CompositePropagator([]))
        RequestsInstrumentor().instrument(tracer_provider=self._provider)
        atexit.register(self.close)

    def close(self) -> None:
        """Send what there is, in one try."""
        self._exporter.is_closing = True
        self._provider.shutdown()

    def counters(self, counters: Counters) -> Counters:
        """Return counters that tell the span under way what they count."""
        return _Counters(counters)

    def around(self, app: WSGIApplication) -> WSGIApplication:
        """Return an application whose requests are spans."""

        def traced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path in NOT_TRACED:
                return app(environ, start_response)
            method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in METHODS else "_OTHER"
            name = f"POST {CALLBACKS}" if method == "POST" and path.startswith("/webhooks/") else method
            said = {METHOD: method} | ({ROUTE: CALLBACKS} if name != method else {})
            span: Span | None = None
            with self._faults.caught():
                span = self._tracer.start_span(name, Context(), SpanKind.SERVER, attributes=said)
            if span is None:
                return app(environ, start_response)
            with trace.use_span(span, end_on_exit=True, record_exception=False):
                return app(environ, _noting_status(span, start_response))

        return traced

    def route(self, rule: str) -> None:
        """Name the span of the request under way by the rule that its path fits."""
        span: Any = trace.get_current_span()
        if span.is_recording():
            span.update_name(f"{span.attributes.get(METHOD, '')} {rule}")
            span.set_attribute(ROUTE, rule)

    def begin_statement(self, statement: str, system: str) -> object:
        """Begin the span of a database's statement, named by its first word."""
        word = statement.split(None, 1)[0][:20].upper() if statement.strip() else ""
        with self._faults.caught():
            return self._tracer.start_span(word or "SQL", kind=SpanKind.CLIENT, attributes={SYSTEM: system})
        return None

    def end_statement(self, begun: object, error: str | None) -> None:
        """End it; `error` is the kind of the failure, if it is one."""
        if not isinstance(begun, Span):
            return
        with self._faults.caught():
            if error is not None:
                begun.set_status(StatusCode.ERROR)
                begun.set_attribute("error.type", error)
            begun.end()


def _check_headers(environment: Mapping[str, str]) -> None:
    """Warn of headers that are left out, and refuse those that can't be sent, without their values.

    The library tells of both with all of the header, which is as a rule a secret.
    """
    variable = next((name for name in HEADERS if environment.get(name)), HEADERS[0])
    for number, given in enumerate(environment.get(variable, "").split(","), 1):
        read = parse_env_headers(given, liberal=True)
        if given.strip() and not read:
            log.warning("%s: header %d is not NAME=VALUE, and is not sent; its value is not shown", variable, number)
        if any("\n" in text or "\r" in text for header in read.items() for text in header):
            raise ValueError(f"{variable}: header {number} has a line break in it; its value is not shown")


def _noting_status(span: Span, start_response: StartResponse) -> StartResponse:
    def noting(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        code = int(status[:3])
        span.set_attribute(STATUS, code)
        if code >= 500:
            span.set_status(StatusCode.ERROR)
        return start_response(status, headers, *rest)

    return noting


class _Counters(Counters):
    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def delivered(self, source: str, verdict: str, reason: str, seconds: float) -> None:
        self._counters.delivered(source, verdict, reason, seconds)
        said = {SOURCE: source, VERDICT: str(verdict), REASON: reason}
        trace.get_current_span().set_attributes({name: value for name, value in said.items() if value})

    def asked(self, source: str, outcome: str) -> None:
        self._counters.asked(source, outcome)

    def collect(self) -> Iterable[Any]:
        return self._counters.collect()


class _Faults:
    """Keeps what goes wrong with spans from what they are about; the first one is logged."""

    def __init__(self) -> None:
        self._is_logged = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._is_logged:
                self._is_logged = True
                log.error("a span could not be made or ended, and spans are missing from now on", exc_info=error)


class _Processors(SynchronousMultiSpanProcessor):
    """Tells processors of spans, none of which can fail what a span is about, a request to a bank included."""

    def __init__(self, faults: _Faults) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # it has no types
        self._faults = faults

    def on_start(self, span: RecordingSpan, parent_context: Context | None = None) -> None:
        with self._faults.caught():
            super().on_start(span, parent_context)

    def _on_ending(self, span: RecordingSpan) -> None:
        with self._faults.caught():
            super()._on_ending(span)

    def on_end(self, span: ReadableSpan) -> None:
        with self._faults.caught():
            super().on_end(span)


class _WithinRequests(Sampler):
    """Leaves out statements that belong to no request, such as those of a worker that looks for what is due.

    Where a sampler fails nothing is sampled.
    """

    def __init__(self, sampler: Sampler, faults: _Faults) -> None:
        self._sampler = sampler
        self._faults = faults

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = trace.get_current_span(parent_context).get_span_context()
        if attributes and SYSTEM in attributes and not parent.is_valid:
            return SamplingResult(Decision.DROP)
        with self._faults.caught():
            return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        return f"WithinRequests({self._sampler.get_description()})"


class _Exporter(SpanExporter):
    """Sends spans with what they may say alone."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._has_failed = False
        self.is_closing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.is_closing and self._has_failed:
            return SpanExportResult.FAILURE
        found = self._exporter.export([_said(span) for span in spans])
        self._has_failed = found is not SpanExportResult.SUCCESS
        return found

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _said(span: ReadableSpan) -> ReadableSpan:
    """Return a span without what it may not say: other attributes, errors' texts, links."""
    attributes: Mapping[str, Any] = span.attributes or {}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in attributes.items() if name in SAID},
        events=tuple[Event, ...](),
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
