"""Traces by OpenTelemetry: real processes send them over real HTTP, they say nothing secret, and hold nothing up."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, add_source, make_token
from metrics.collector import Collector, Sent, collecting
from servers import RECEIVER, ROOT, WebServer, environment, free_port
from tiny_bank import TinyBank, gives, serving

from receiver.metrics.base import traces_wanted
from receiver.runtime import Runtime

SERVER, CLIENT = 2, 3

SEARCHED, PATH_OF_NOBODY = "SEARCHED-FOR-THIS", "PATH-OF-NOBODY"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def traced(url: str, endpoint: str, **more: str) -> dict[str, str]:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", "RECEIVER_PROCESSES": "2"}
    return environment(url, KEY, RECEIVER_LOG_LEVEL="ERROR", **given, **more)


def named(spans: list[Sent], name: str, **said: object) -> list[Sent]:
    wanted = {key.replace("__", "."): value for key, value in said.items()}
    return [span for span in spans if span.name == name and wanted.items() <= span.said.items()]


def test_each_request_is_a_span_with_its_statements_and_says_nothing_secret(
    collector: Collector, live: Runtime, live_bank: BankSigner, database_url: str
) -> None:
    add_source(live)
    token = make_token(live)
    server = WebServer(traced(database_url, collector.url, OTEL_SERVICE_NAME="payments")).start()
    # A trace that a sender claims is not believed: who has proven nothing must not choose what is sampled.
    claimed = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "User-Agent": "AGENT-OF-SOMEBODY"}
    signed = live_bank.sign(deposit(transactionDetails="REMITTANCE"))
    for headers in (signed.headers, {**signed.headers, "Bcb-Nonce": "FORGED-NONCE"}):
        requests.post(server.url + signed.path, data=signed.body, headers={**headers, **claimed}, timeout=60)
    requests.post(f"{server.url}/webhooks/{PATH_OF_NOBODY}", data=b"{}", timeout=60)
    requests.get(f"{server.url}/api/v1/events?q={SEARCHED}", headers={**token, **claimed}, timeout=60)
    requests.get(f"{server.url}/staff/sign-in?next={SEARCHED}", timeout=60)
    requests.request("BREW", f"{server.url}/{PATH_OF_NOBODY}", timeout=60)
    assert server.stop() == 0

    spans = collector.wait_for(lambda spans: bool(named(spans, "_OTHER")))
    callbacks = named(spans, "POST /webhooks/{source}")
    told = [(span.said.get("receiver.source"), span.said["receiver.verdict"]) for span in callbacks]
    assert sorted(told, key=str) == [("bcb", "accepted"), ("bcb", "rejected"), (None, "refused")]
    assert {span.said["http.response.status_code"] for span in callbacks} == {200, 401, 404}
    (events,) = named(spans, "GET /api/v1/events", http__response__status_code=200)
    assert (events.kind, events.parent, events.service) == (SERVER, b"", "payments")
    statements = [span for span in spans if span.parent == events.id]
    assert {span.said["db.system.name"] for span in statements} == {live.database.engine.dialect.name}
    assert "SELECT" in {span.name for span in statements}
    assert {span.kind for span in statements} == {CLIENT}
    assert named(spans, "GET /staff/sign-in")
    assert not [span for span in spans if "healthz" in span.name or span.said.get("http.route") == "/healthz"]
    roots = {span.name for span in spans if not span.parent}
    assert "SELECT" not in roots
    assert set(collector.paths) == {"/v1/traces"}
    whole = b"".join(collector.raw)
    secret = ("REMITTANCE", "FORGED-NONCE", SEARCHED, PATH_OF_NOBODY, "AGENT-OF-SOMEBODY", "BREW", "127.0.0.1")
    for text in (*secret, signed.headers["Bcb-Nonce"], token["Authorization"].split("_", 1)[1], database_url):
        assert text.encode() not in whole, text
    assert b"\xab" * 16 not in whole


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_collector_that_hangs_or_is_not_there_holds_no_callback_and_no_stop_up(
    collector: Collector, live: Runtime, live_bank: BankSigner, database_url: str
) -> None:
    add_source(live)
    collector.hangs.set()
    # It is full before it can be sent, and waits for longer than any callback here does.
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10"}
    patient = {**small, "OTEL_EXPORTER_OTLP_TIMEOUT": "250"}
    for endpoint, given in ((collector.url, patient), (f"http://127.0.0.1:{free_port()}", small)):
        server = WebServer(traced(database_url, endpoint, **given) | {"RECEIVER_PROCESSES": "1"}).start()

        def send(part: str, server: WebServer = server, endpoint: str = endpoint) -> None:
            for number in range(20):
                signed = live_bank.sign(deposit(transactionId=f"FT{part}{number}{endpoint}"))
                answer = requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60)
                assert answer.json()["status"] == "accepted"

        send("first")
        if endpoint == collector.url:
            collector.wait_for(bool)
        send("second")
        if endpoint == collector.url:
            # All of these were answered while it was asked, and had answered nobody.
            assert (len(collector.paths), collector.answered) == (1, 0)
            collector.release()
        assert server.stop() == 0


@pytest.fixture
def bank() -> Iterator[TinyBank]:
    with serving() as listening:
        yield listening


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_a_worker_asks_a_bank_is_a_span_of_which_the_bank_is_told_nothing(
    collector: Collector, live: Runtime, live_bank: BankSigner, bank: TinyBank, database_url: str
) -> None:
    add_source(live, base_url=bank.url)
    served = traced(database_url, collector.url)
    server = WebServer({**served, "OTEL_SDK_DISABLED": "true"}).start()
    signed = live_bank.sign(deposit(transactionId="FT-SECRET-ID"))
    requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60)
    server.stop()
    gives(bank, 200, {"token": "a.b.c", "status": "Completed"})
    subprocess.run([*RECEIVER, "worker", "--once"], env=served, check=True, timeout=120, capture_output=True)
    assert [path for _, path, _, _ in bank.asked if "FT-SECRET-ID" in path]
    assert not [
        name for _, _, headers, _ in bank.asked for name in headers if name.lower() in ("traceparent", "baggage")
    ]
    spans = collector.wait_for(lambda spans: bool(named(spans, "GET") and named(spans, "POST")))
    assert {span.service for span in spans} == {"receiver"}
    asked = named(spans, "GET")[0].said
    assert (asked["http.response.status_code"], asked["server.address"]) == (200, "127.0.0.1")
    # A worker looks for what is due all the time; that is no trace.
    assert {span.name for span in spans if not span.parent} <= {"GET", "POST"}
    assert b"FT-SECRET-ID" not in b"".join(collector.raw)


FAULTY = """
import json
import sys
from opentelemetry.sdk.trace import SpanProcessor, sampling
from receiver import logs, runtime
from receiver.settings import Settings
from receiver.web import create_app

class Faulty(sampling.Sampler, SpanProcessor):
    def fail(self, *_, **__):
        raise ZeroDivisionError("faulty")

    should_sample = on_start = _on_ending = on_end = fail

    def get_description(self):
        return "Faulty"

logs.configure("ERROR")
asked = json.load(sys.stdin)
sampling._KNOWN_SAMPLERS["faulty"] = Faulty()
settings = Settings(_env_file=None, secret_keys=asked["key"], database_url=asked["url"])
started = runtime.tracing(runtime.start(settings))
if asked["part"] == "processor":
    started.traces._provider.add_span_processor(Faulty())
client = create_app(started).test_client()
for headers in asked["headers"]:
    answer = client.post(asked["path"], data=asked["body"], headers=headers)
    print(started.traces.is_on, answer.status_code)
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("part", ["sampler", "processor"])
def test_a_sampler_or_a_processor_that_fails_costs_no_callback_and_is_logged_once(
    part: str, live: Runtime, live_bank: BankSigner, database_url: str
) -> None:
    add_source(live)
    signed = live_bank.sign(deposit())
    asked = {
        "part": part,
        "key": KEY,
        "url": database_url,
        "path": signed.path,
        "body": signed.body.decode(),
        "headers": [signed.headers, {**signed.headers, "Bcb-Nonce": "FORGED-NONCE"}],
    }
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    if part == "sampler":
        given["OTEL_TRACES_SAMPLER"] = "faulty"
    ended = subprocess.run(
        [sys.executable, "-c", FAULTY],
        env={**os.environ, "PYTHONPATH": str(ROOT), **given},
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert ended.stdout.splitlines() == ["True 200", "True 401"]
    assert ended.stderr.count("ZeroDivisionError: faulty") == ended.stderr.count("a span could not be made") == 1


LOADED = """
import sys
from receiver import logs, runtime
from receiver.settings import Settings
from receiver.web import create_app
logs.configure("INFO")
if "missing" in sys.argv:
    sys.modules["opentelemetry"] = None
settings = Settings(_env_file=None, secret_keys="A" * 43 + "=", database_url="sqlite:///unused.db")
started = runtime.tracing(runtime.start(settings))
create_app(started).test_client().get("/healthz")
print(started.traces.is_on, sorted(name for name, found in sys.modules.items() if found and "opentelemetry" in name))
"""


def loaded(*words: str, **given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LOADED, *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **given}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120)


def test_off_nothing_of_it_is_imported() -> None:
    assert loaded().stdout == "False []\n"
    off = loaded(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_SDK_DISABLED="true")
    assert off.stdout == "False []\n"


def test_where_the_extra_is_missing_that_is_said_and_all_goes_on() -> None:
    ended = loaded("missing", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert ended.stdout == "False []\n"
    assert "the extra tracing is not installed" in ended.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"OTEL_BSP_MAX_QUEUE_SIZE": "1"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION": "tight"},
        {"OTEL_TRACES_SAMPLER": "sometimes", "OTEL_RESOURCE_ATTRIBUTES": "none"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "a=b,Authorization: Bearer geheim123"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "a=b, Authorization: Bearer geheim123=="},
        {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b,authorization=Bearer%20geheim123%0Ax"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_variable_of_its_own_that_is_wrong_stops_no_start_and_shows_no_secret(wrong: dict[str, str]) -> None:
    ended = loaded(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", **wrong)
    assert ended.stdout.split()[0] in ("True", "False")
    assert ended.stderr
    assert "geheim" not in ended.stderr.lower()
    for name in wrong:
        # What is wrong with a header is said by us, and which variable has it.
        assert not name.endswith("HEADERS") or f"{name}: header 2 " in ended.stderr


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "True"}, False),
    ],
)
def test_its_own_variables_turn_it_on_and_off(given: dict[str, str], wanted: bool) -> None:
    assert traces_wanted(given) is wanted
