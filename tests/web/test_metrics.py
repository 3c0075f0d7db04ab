"""`GET /metrics`: who may read it, what is in it, and that each figure is the one that is so."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import banking_circle
import others
import pytest
from bank import SECRET, BankSigner, Signed, deposit
from certificates import new_certificate
from conftest import StandingClock, add_encrypting_source, add_source, make_token
from cryptography import x509
from encrypting_bank import EncryptingBank, notification
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import text
from timers import Timer
from web.reading import assert_problem, get, send, send_deposits

from receiver.admin.figures import Gauges
from receiver.metrics.counters import Counted
from receiver.metrics.names import EVERY, Figure
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Simulator as BankingCircle
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.scripts import Script
from receiver.store import request_budget, signing_secrets, sources, workers
from receiver.store.database import StoreUnavailable
from receiver.store.sources import SourceRecord
from receiver.web import create_app
from receiver.web.health import LOOK_SECONDS
from receiver.web.metrics import Metrics
from receiver.worker.chores import Exceptions
from receiver.worker.loop import Worker

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where nothing depends on the kind of database."""


@pytest.fixture
def counting(parts: Runtime) -> Runtime:
    """The parts of a process that counts, for itself alone."""
    return replace(parts, counters=Counted())


@pytest.fixture
def bcb(parts: Runtime) -> SourceRecord:
    return add_source(parts)


@pytest.fixture
def client(counting: Runtime, bcb: SourceRecord) -> FlaskClient:  # noqa: ARG001 - the source must be there
    return create_app(counting).test_client()


Samples = dict[tuple[str, ...], float]


def samples(given: FlaskClient | Runtime) -> Samples:
    """Every sample by its name and the values of its labels, in the order of the labels' names; looked at anew."""
    client = create_app(given).test_client() if isinstance(given, Runtime) else given
    answer = client.get("/metrics", headers=OPENMETRICS)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def deliveries(client: FlaskClient) -> dict[tuple[str, str, str], int]:
    """How many deliveries were counted, by source, verdict and reason."""
    return {
        (labels[1], labels[2], labels[0]): int(value)
        for (name, *labels), value in samples(client).items()
        if name == "receiver_deliveries_total"
    }


def post(client: FlaskClient, signed: Signed, **headers: str) -> int:
    return client.post(signed.path, data=signed.body, headers={**signed.headers, **headers}).status_code


# Who may read it


LOCAL = ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"]
FORWARDED = ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "CF-Connecting-IP"]


@SQLITE
@pytest.mark.parametrize("peer", LOCAL)
def test_without_a_token_a_direct_request_from_this_machine_may_read(client: FlaskClient, peer: str) -> None:
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": peer}).status_code == 200


@SQLITE
@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "", "nonsense"])
def test_without_a_token_nobody_else_may(client: FlaskClient, peer: str) -> None:
    assert_problem(client.get("/metrics", environ_base={"REMOTE_ADDR": peer}), 403, "RECEIVER_METRICS_TOKEN")


@SQLITE
@pytest.mark.parametrize("header", FORWARDED)
def test_what_came_through_a_proxy_on_this_machine_is_no_direct_request(client: FlaskClient, header: str) -> None:
    assert_problem(client.get("/metrics", headers={header: "127.0.0.1"}), 403)


@SQLITE
def test_a_trusted_proxy_on_this_machine_may_not_read_for_others(counting: Runtime) -> None:
    settings = type(counting.settings)(
        _env_file=None,
        secret_keys=counting.settings.keys[0],
        database_url=counting.settings.database_url,
        trusted_proxies="127.0.0.1",
    )
    client = create_app(replace(counting, settings=settings)).test_client()
    assert_problem(client.get("/metrics"), 403)
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "127.0.0.2"}).status_code == 200


@SQLITE
def test_with_a_token_who_shows_it_may_read_from_anywhere_and_nobody_else(counting: Runtime) -> None:
    settings = counting.settings.model_copy(update={"metrics_token": type(counting.settings.secret_keys[0])("hush à")})
    client = create_app(replace(counting, settings=settings)).test_client()
    far = {"REMOTE_ADDR": "192.0.2.1"}
    # Of the letter's two bytes the second is a blank in Latin-1.
    shown = "Bearer " + "hush à".encode().decode("latin-1")
    for headers in ({"Authorization": shown}, {"Authorization": shown.replace("Bearer", "bearer"), "Via": "1.1 x"}):
        assert client.get("/metrics", headers=headers, environ_base=far).status_code == 200
    for wrong in ("", "Bearer", "Bearer hush", "Basic aHVzaA=="):
        answer = client.get("/metrics", headers={"Authorization": wrong})
        assert_problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@SQLITE
@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        OPENMETRICS["Accept"],
        "text/html, */*",
        "text/plain, application/openmetrics-text",
        "text/plain;q=0.3, Application/OpenMetrics-Text; version=1.0.0; q=0.5, */*;q=0.2",
        "text/plain;q=0",
    ],
)
def test_it_is_openmetrics(client: FlaskClient, accept: str | None) -> None:
    asked = client.get("/metrics", headers={} if accept is None else {"Accept": accept})
    assert asked.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert asked.text.endswith("# EOF\n")
    assert client.head("/metrics").content_type == asked.content_type


@SQLITE
@pytest.mark.parametrize(
    "accept",
    [
        "text/plain",
        "Text/Plain;version=0.0.4;q=0.5, */*;q=0.1",
        "text/plain, application/openmetrics-text;q=0.9",
        "application/openmetrics-text;q=0, text/plain;q=0.001",
    ],
)
def test_it_is_the_older_text_format_for_who_wants_that_more(client: FlaskClient, accept: str) -> None:
    asked = client.get("/metrics", headers={"Accept": accept})
    assert asked.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "# EOF" not in asked.text


@SQLITE
@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=x", "text/plain;version=;;=", ",,;", "a" * 5000, "text/plain;q=9"]
)
def test_whatever_is_asked_for_it_is_answered(client: FlaskClient, accept: str) -> None:
    assert client.get("/metrics", headers={"Accept": accept}).status_code == 200


# What is counted


def test_each_delivery_is_counted_once_by_what_became_of_it(
    client: FlaskClient, bank: BankSigner, clock: StandingClock
) -> None:
    first = bank.sign(deposit())
    old = str(int(clock().timestamp()) - 3600)
    unknown = bank.sign(deposit(), "/webhooks/no-such-source")
    assert [
        post(client, first),
        post(client, first),
        post(client, bank.sign(deposit(transactionId="FT7"), timestamp=old)),
        post(client, Signed(first.path, b"{}", first.headers)),
        post(client, Signed(first.path, first.body, {})),
        post(client, first, **{"Content-Encoding": "br"}),
        post(client, Signed(first.path, b" " * 2_000_000, first.headers)),
        post(client, unknown),
    ] == [200, 200, 401, 401, 401, 415, 413, 404]
    assert deliveries(client) == {
        ("bcb", "accepted", ""): 1,
        ("bcb", "duplicate", ""): 1,
        ("bcb", "late", "timestamp_stale"): 1,
        ("bcb", "rejected", "signature_mismatch"): 1,
        ("bcb", "rejected", "header_missing"): 1,
        ("bcb", "rejected", "coding_not_supported"): 1,
        ("bcb", "refused", "body_too_large"): 1,
        ("", "refused", "source_unknown"): 1,
    }
    found = samples(client)
    assert found["receiver_answer_seconds_count",] == 8
    assert found["receiver_answer_seconds_bucket", "+Inf"] == 8


@SQLITE
def test_what_has_to_be_sent_once_more_is_unavailable_and_why_is_counted(
    counting: Runtime, client: FlaskClient, bank: BankSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_source(counting, "mute", secret=None)
    assert post(client, bank.sign(deposit(), "/webhooks/mute")) == 503

    def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("full")

    with monkeypatch.context() as patched:
        patched.setattr("receiver.inbox.inbox.intake.record_all", fail)
        assert post(client, bank.sign(deposit())) == 503
    assert deliveries(client) == {
        ("mute", "unavailable", "secret_not_set"): 1,
        ("bcb", "unavailable", "database"): 1,
    }


@SQLITE
def test_a_source_s_name_is_counted_only_where_it_is_one(client: FlaskClient, bank: BankSigner) -> None:
    for name in ("BCB", "bcb%00", "x" * 500, "..", "bcb~1", "%2e%2e"):
        post(client, bank.sign(deposit(), f"/webhooks/{name}"))
    assert {source for source, _, _ in deliveries(client)} == {""}


def test_each_request_to_a_bank_is_counted_by_how_it_ended(counting: Runtime, clock: StandingClock) -> None:
    with Simulator(Config(rate_limit=0), clock=clock) as simulator:
        add_source(counting, base_url=simulator.url)
        client = create_app(counting).test_client()
        send(client, BankSigner(clock).sign(deposit(transactionId="FT-nobody-knows")))
        Worker(counting).run_once()
    found = samples(counting)
    assert found["receiver_bank_requests_total", "not_found", "bcb"] == 1
    # A token, the keys, and whatever else.
    assert found["receiver_bank_requests_total", "answered", "bcb"] >= 2
    used = sum(value for (name, *_), value in found.items() if name == "receiver_bank_requests_total")
    assert found["receiver_bank_budget_remaining", "bcb"] == 300 - used


def test_a_spent_budget_has_nothing_left_and_neither_has_a_bank_that_has_said_to_wait(
    counting: Runtime, clock: StandingClock
) -> None:
    source = add_source(counting, base_url="http://127.0.0.1:1")
    hour = timedelta(hours=1)
    with counting.database.write() as connection:
        for _ in range(300):
            request_budget.take(connection, source.id, now=clock(), limit=300, window=hour)
    assert samples(counting)["receiver_bank_budget_remaining", "bcb"] == 0
    clock.forward(3601)
    assert samples(counting)["receiver_bank_budget_remaining", "bcb"] == 300
    with counting.database.write() as connection:
        request_budget.block(connection, source.id, clock() + hour)
    assert samples(counting)["receiver_bank_budget_remaining", "bcb"] == 0


# How things stand


def test_payments_are_told_by_status_and_agreement_as_they_change(counting: Runtime, clock: StandingClock) -> None:
    def payments() -> dict[tuple[str, ...], float]:
        return {key[1:]: value for key, value in samples(counting).items() if key[0] == "receiver_payments" and value}

    with Simulator(Config(rate_limit=0), clock=clock) as simulator:
        add_source(counting, base_url=simulator.url)
        client = create_app(counting).test_client()
        send_deposits(client, BankSigner(clock), 3)
        catch_up(counting.database)
        assert payments() == {("unconfirmed", "bcb", "unknown"): 3}
        clock.forward(60)
        assert samples(counting)["receiver_oldest_unconfirmed_seconds", "bcb"] == 60
        for number in range(3):
            simulator.bank.add_payment(booked(f"FT{number}", "Completed" if number else "Rejected", clock))
        Worker(counting).run_once()
        assert payments() == {("confirmed", "bcb", "completed"): 2, ("contradicted", "bcb", "rejected"): 1}
    found = samples(counting)
    assert ("receiver_oldest_unconfirmed_seconds", "bcb") not in found
    assert found["receiver_exceptions", "contradicted", "bcb"] == 1


def booked(payment_id: str, status: str, clock: StandingClock) -> Any:
    return Payment(payment_id, "1046406142", Decimal("1000.00"), "USD", Script.of((status, 0)), clock())


def test_what_needs_a_person_is_told_until_it_is_resolved(
    counting: Runtime, client: FlaskClient, bank: BankSigner, clock: StandingClock
) -> None:
    wrong = replace(bank, secret=SECRET[::-1][1:] + "=")
    for _ in range(3):
        assert post(client, wrong.sign(deposit())) == 401
    Exceptions(counting).look()
    assert samples(counting)["receiver_exceptions", "rejected", "bcb"] == 1
    with counting.database.write() as connection:
        connection.execute(text("DELETE FROM deliveries WHERE verdict = 'rejected'"))
    clock.forward(60)
    Exceptions(counting).look()
    assert samples(counting)["receiver_exceptions", "rejected", "bcb"] == 0


def test_feed_consumers_and_worker_are_told(
    counting: Runtime, client: FlaskClient, bank: BankSigner, clock: StandingClock
) -> None:
    token = make_token(counting)
    send_deposits(client, bank, 3)
    page = get(client, "/api/v1/consumers/ledger/feed", token, limit=2).get_json()
    clock.forward(30)
    client.post("/api/v1/consumers/ledger/ack", headers=token, json={"cursor": page["next"]})
    found = samples(counting)
    assert found["receiver_feed_position",] == 3
    assert found["receiver_consumer_lag_entries", "ledger"] == 1
    assert found["receiver_consumer_lag_seconds", "ledger"] == 30
    assert found["receiver_last_callback_seconds", "bcb"] == 30
    assert ("receiver_worker_last_round_seconds",) not in found
    with counting.database.write() as connection:
        workers.note_seen(connection, clock() - timedelta(seconds=7))
    end = {"to": "end"}
    assert client.post("/api/v1/consumers/ledger/seek", headers=token, json=end).status_code == 200
    found = samples(counting)
    assert found["receiver_worker_last_round_seconds",] == 7
    assert found["receiver_consumer_lag_entries", "ledger"] == found["receiver_consumer_lag_seconds", "ledger"] == 0


def test_the_age_of_a_secret_is_that_of_the_current_one(
    counting: Runtime, bcb: SourceRecord, clock: StandingClock
) -> None:
    clock.forward(100)
    assert samples(counting)["receiver_secret_age_seconds", "bcb"] == 100
    with counting.database.write() as connection:
        signing_secrets.put(
            connection, counting.encryption, bcb.id, SECRET[::-1][1:] + "=", now=clock(), grace_seconds=3600
        )
    clock.forward(5)
    assert samples(counting)["receiver_secret_age_seconds", "bcb"] == 5


def test_a_bank_that_is_refused_gives_up_in_time_or_after_some_more_failures(
    counting: Runtime, clock: StandingClock
) -> None:
    add_encrypting_source(counting)
    others.add(counting, "connectpay", others.TOKEN, allowed_addresses=["127.0.0.1"])
    client = create_app(counting).test_client()
    found = samples(counting)
    assert not [key for key in found if "give_up" in key[0]]
    wrong = {"X-ConnectPay-Token": others.OLD_TOKEN}
    assert post(client, EncryptingBank(key=b"f" * 32).sign([notification()])) == 401
    assert client.post("/webhooks/connectpay", json=others.outgoing(), headers=wrong).status_code == 401
    clock.forward(3600)
    found = samples(counting)
    assert found["receiver_give_up_seconds", "bc"] == pytest.approx(93.7 * 3600 - 3600, abs=1)
    assert found["receiver_give_up_failures_left", "connectpay"] == 99


@SQLITE
def test_certificates_are_told_that_of_https_without_a_source(counting: Runtime, tmp_path: Any) -> None:
    certificate, key = new_certificate(tmp_path)
    settings = counting.settings.model_copy(update={"tls_certificate": certificate, "tls_key": key})
    with BankingCircle() as simulator:
        banking_circle.add_source(counting, simulator)
        found = samples(replace(counting, settings=settings))
    assert found["receiver_certificate_expires_seconds", ""] > 0
    assert found["receiver_certificate_expires_seconds", "bc"] > 0


@SQLITE
def test_of_https_the_certificate_that_is_served_is_told_not_the_one_in_its_file(
    counting: Runtime, clock: StandingClock, tmp_path: Any
) -> None:
    certificate, key = new_certificate(tmp_path)
    settings = counting.settings.model_copy(update={"tls_certificate": certificate, "tls_key": key})
    client = create_app(replace(counting, settings=settings)).test_client()
    (served,) = x509.load_pem_x509_certificates(certificate.read_bytes())
    new_certificate(tmp_path, days=9)
    clock.forward(120)
    told = samples(client)["receiver_certificate_expires_seconds", ""]
    assert told == (served.not_valid_after_utc - clock()).total_seconds()


def test_sources_that_are_removed_are_told_of_no_longer(
    counting: Runtime, bcb: SourceRecord, clock: StandingClock
) -> None:
    with counting.database.write() as connection:
        sources.change(connection, bcb.id, hidden_at=clock(), enabled=False)
    assert not [key for key in samples(counting) if "bcb" in key]


@SQLITE
def test_where_the_database_can_t_be_read_counters_are_told_and_that_it_is_down(
    client: FlaskClient, bank: BankSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, bank.sign(deposit()))

    def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr("receiver.admin.figures.figures.put_together", fail)
    found = samples(client)
    assert found["receiver_database_up",] == 0
    assert found["receiver_deliveries_total", "", "bcb", "accepted"] == 1
    assert ("receiver_feed_position",) not in found


@SQLITE
def test_the_database_is_looked_into_once_for_all_who_ask_in_a_second(
    counting: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    real = Gauges.read

    def counted(gauges: Gauges) -> list[Figure]:
        looks.append(1)
        return real(gauges)

    monkeypatch.setattr(Gauges, "read", counted)
    timer = Timer()
    view = Metrics(counting, timer)
    for _ in range(5):
        view._figures.found()
    assert len(looks) == 1
    timer.now += LOOK_SECONDS
    view._figures.found()
    assert len(looks) == 2


@SQLITE
def test_nothing_secret_and_no_metric_without_a_name_of_ours_is_in_it(
    counting: Runtime, client: FlaskClient, bank: BankSigner
) -> None:
    send(client, bank.sign(deposit()))
    answer = client.get("/metrics", headers=OPENMETRICS)
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert families <= {name.removesuffix("_total") for name in EVERY}
    for hidden in (SECRET, *counting.settings.keys, "FT2384654NXF6", "1046406142", "127.0.0.1"):
        assert hidden not in answer.text
