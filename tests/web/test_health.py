"""Health, readiness, and that every error anywhere is a problem document."""

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from bank import BankSigner
from conftest import KEY
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text
from timers import Timer
from web.reading import Headers, assert_problem, send_deposits

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema
from receiver.store.database import Database, StoreUnavailable, check_writable
from receiver.store.schema import NotMigrated
from receiver.web import create_app, health

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: what a look at the database does on each is tested in `tests/store`."""
    return sqlite_url


NOTHING_THERE = "postgresql+psycopg://somebody:hunter2@127.0.0.1:1/nothing"


def over(url: str) -> FlaskClient:
    """A client of a receiver over another database."""
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=url)
    return create_app(runtime.start(settings)).test_client()


def test_the_process_is_up(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_a_migrated_database_that_can_be_written_is_ready(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ready"})


def test_the_index_says_where_things_are(client: FlaskClient) -> None:
    assert client.get("/").get_json()["places"]["callbacks"] == "POST /webhooks/<source>"


def test_a_database_of_another_release_is_not_ready_and_says_what_to_do(client: FlaskClient, parts: Runtime) -> None:
    with parts.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = client.get("/readyz")
    assert_problem(answer, 503, "receiver db upgrade")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/healthz").status_code == 200


def test_over_the_tables_of_a_newer_release_who_runs_stays_ready_and_nobody_starts(
    client: FlaskClient, parts: Runtime
) -> None:
    with parts.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert client.get("/readyz").status_code == 200
    with pytest.raises(NotMigrated, match="revision 9999"):
        schema.check(parts.database)


def test_a_database_that_is_not_migrated_is_not_ready(
    request: pytest.FixtureRequest, parts: Runtime, empty_postgres_url: str
) -> None:
    url = empty_postgres_url
    if parts.database.is_sqlite:
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/empty.db"
    settings = parts.settings.model_copy(update={"database_url": url})
    started = runtime.start(settings)
    client = create_app(started).test_client()
    assert_problem(client.get("/readyz"), 503, "receiver db upgrade")
    assert_problem(client.get("/api/v1/feed", headers={"Authorization": "Bearer rcv_x"}), 503)
    started.database.close()


def test_the_database_is_looked_at_once_for_all_who_ask_in_a_second(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    real = check_writable

    def counted(database: Database) -> None:
        looks.append(1)
        # Long enough for the others to be there.
        time.sleep(0.2)
        real(database)

    monkeypatch.setattr("receiver.web.health.check_writable", counted)
    timer = Timer()
    readiness = health.Readiness(parts.database, timer)
    with ThreadPoolExecutor(8) as pool:
        for asked in [pool.submit(readiness.check) for _ in range(40)]:
            asked.result()
    assert len(looks) == 1
    timer.now += health.LOOK_SECONDS
    readiness.check()
    assert len(looks) == 2


def test_what_was_found_is_told_to_all_who_ask_in_a_second_and_then_looked_for_anew(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = Timer()
    readiness = health.Readiness(parts.database, timer)

    def fail(_: Database) -> None:
        raise StoreUnavailable("full")

    with monkeypatch.context() as patched:
        patched.setattr("receiver.web.health.check_writable", fail)
        with pytest.raises(StoreUnavailable, match="full"):
            readiness.check()
    with pytest.raises(StoreUnavailable, match="full"):
        readiness.check()
    timer.now += health.LOOK_SECONDS
    readiness.check()


def test_a_database_that_takes_no_writes_is_not_ready(client: FlaskClient, parts: Runtime) -> None:
    forbid_writes(parts)
    answer = client.get("/readyz")
    assert_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/healthz").status_code == 200


def forbid_writes(parts: Runtime) -> None:
    """As a full disk does."""
    if parts.database.is_sqlite:
        with parts.database.write() as connection:
            connection.execute(
                text("CREATE TRIGGER full BEFORE UPDATE ON feed_head BEGIN SELECT RAISE(FAIL, 'disk full'); END")
            )
        return
    with parts.database.write() as connection:
        connection.execute(
            text("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$")
        )
        connection.execute(text("CREATE TRIGGER full_disk BEFORE UPDATE ON feed_head EXECUTE FUNCTION fail()"))


def test_a_database_that_is_gone_is_not_ready_and_strangers_are_not_told_where_it_was() -> None:
    client = over(NOTHING_THERE)
    answer = client.get("/readyz")
    assert_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    for secret in ("hunter2", "somebody", "127.0.0.1"):
        assert secret not in answer.text
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/feed", "/api/v1/events", "/api/v1/payments", "/api/v1/payments/bcb/FT0"])
def test_a_database_that_is_gone_is_a_503_that_says_when_to_come_back(path: str) -> None:
    answer = over(NOTHING_THERE).get(path, headers={"Authorization": "Bearer rcv_x"})
    assert_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/v1", "/api/v1/nothing", "/api/v2/feed", "/webhooks"])
def test_an_unknown_path_is_not_found(client: FlaskClient, path: str) -> None:
    assert_problem(client.get(path), 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/v1/feed", "/api/v1/events", "/api/v1/payments", "/healthz", "/readyz"])
def test_what_is_read_takes_no_other_method(client: FlaskClient, token: Headers, method: str, path: str) -> None:
    answer = client.open(path, method=method, headers=token)
    assert_problem(answer, 405)
    assert answer.headers["Allow"] == "GET, HEAD"


PARAMETERS = (
    *("after", "cursor", "limit", "wait", "source", "type", "status", "agreement"),
    *("payment_id", "event_id", "received_after", "received_before", "unknown"),
)

anything = st.text(max_size=60) | st.sampled_from(
    ["", "0", "-1", "1", "1000", "99999999999999999999", "\0", "é" * 300, "2026-03-04T12:00:00Z", "MQ.x", "..", "bcb"]
)
queries = st.lists(
    st.tuples(st.sampled_from(PARAMETERS), anything).filter(lambda pair: pair[0] != "wait" or not pair[1].isdecimal()),
    max_size=5,
)
paths = st.sampled_from(["/", "/healthz", "/readyz", "/api/v1/feed", "/api/v1/events", "/api/v1/payments"]) | st.builds(
    lambda start, rest: start + quote(rest, safe="/"),
    st.sampled_from(["/api/v1/events/", "/api/v1/payments/", "/api/v1/payments/bcb/", "/api/v1/", "/"]),
    anything,
)


@given(path=paths, query=queries, accept=st.sampled_from(["*/*", "application/cloudevents-batch+json", "", ";;q=x"]))
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_query_and_no_path_makes_the_receiver_fail(
    app: Flask, token: Headers, path: str, query: list[tuple[str, str]], accept: str
) -> None:
    answer = app.test_client().get(path, query_string=query, headers={**token, "Accept": accept})
    assert answer.status_code in (200, 400, 404), (answer.status_code, answer.text)
    if answer.status_code != 200:
        assert_problem(answer, answer.status_code)


@pytest.mark.parametrize(
    "target", ["/api/v1/feed?limit=%", "/api/v1/feed?%00=1", "/api/v1/events/%", "/api/v1/feed?&&="]
)
def test_a_broken_percent_encoding_makes_nothing_fail(
    client: FlaskClient, bank: BankSigner, token: Headers, target: str
) -> None:
    send_deposits(client, bank, 1)
    assert client.get(target, headers=token).status_code in (200, 400, 404)
