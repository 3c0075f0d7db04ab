"""A collector of OpenTelemetry traces on loopback: takes OTLP over HTTP, and keeps the spans and the bytes."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_SECONDS = 60

HANG_SECONDS = 300
"""Longer than any test: it ends by being released."""


@dataclass(frozen=True)
class Sent:
    """One span as it was sent; `parent` is empty where it begins a trace."""

    name: str
    trace: bytes
    id: bytes
    parent: bytes
    kind: int
    said: dict[str, Any]
    service: str


@dataclass
class Collector:
    """What came so far."""

    url: str = ""
    spans: list[Sent] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)
    """Whether it answers nobody until it is released."""
    released: threading.Event = field(default_factory=threading.Event)
    answered: int = 0
    came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, path: str, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.came:
            self.raw.append(body)
            self.paths.append(path)
            for resource in request.resource_spans:
                of = {each.key: each.value.string_value for each in resource.resource.attributes}
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    said = {each.key: _value(each.value) for each in span.attributes}
                    ids = (span.trace_id, span.span_id, span.parent_span_id)
                    self.spans.append(Sent(span.name, *ids, span.kind, said, of["service.name"]))
            self.came.notify_all()

    def release(self) -> None:
        """Answer whoever waits, and all others from now on."""
        self.hangs.clear()
        self.released.set()

    def wait_for(self, is_there: Callable[[list[Sent]], bool]) -> list[Sent]:
        """Return all spans once those that are waited for are there."""
        with self.came:
            assert self.came.wait_for(lambda: is_there(self.spans), WAIT_SECONDS), self.spans
            return list(self.spans)


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen on loopback until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            collector.take(self.path, gzip.decompress(body) if packed else body)
            if collector.hangs.is_set():
                collector.released.wait(HANG_SECONDS)
            with collector.came:
                collector.answered += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of whoever no longer waits."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    yield collector
    collector.release()
    server.shutdown()
    server.server_close()
    thread.join()
