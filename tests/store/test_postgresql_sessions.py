"""What is relied on of a session of PostgreSQL holds whatever the database, the role and the environment have set.

Behind a pooler that gives each transaction another session too (PgBouncer, transaction pooling).
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from conftest import KEY, StandingClock, add_source
from servers import free_port
from sqlalchemy import make_url, text
from store.made import delivery, event, record

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import events, schema
from receiver.store.database import Database, StoreUnavailable, check_writable
from receiver.store.postgresql import WANTED
from receiver.store.records import SKEW

HOSTILE = {
    "synchronous_commit": "off",
    "timezone": "Asia/Kathmandu",
    "datestyle": "German, DMY",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "row_security": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "lock_timeout": "1ms",
    "statement_timeout": "1d",
    "idle_in_transaction_session_timeout": "5s",
    "idle_session_timeout": "5s",
    "transaction_timeout": "1h",
}
NOT_READ_ONLY = {name: value for name, value in HOSTILE.items() if name != "default_transaction_read_only"}
"""A pooler's session is refused where it is read-only, as a standby's is."""


def set_for(postgresql_url: str, whose: str, settings: dict[str, str]) -> None:
    """Change the defaults of the database's new sessions, by way of another database."""
    url = make_url(postgresql_url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        known = {row[0].lower() for row in connection.execute("SELECT name FROM pg_settings").fetchall()}
        for name in settings.keys() & known:
            connection.execute(f"ALTER {whose} SET {name} TO '{settings[name]}'".encode())
        database = make_url(postgresql_url).database
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))


def shown(database: Database, names: list[str]) -> dict[str, str]:
    """What a transaction sees of the settings that the server knows."""
    looks = ", ".join(f"current_setting('{name}', true)" for name in names)
    with database.write() as connection:
        row = connection.execute(text(f"SELECT {looks}")).one()
    # A pooler may have noted the one name of the time zone, and give it to each of its sessions.
    return {
        name: "UTC" if value == "Etc/UTC" else value
        for name, value in zip(names, row, strict=True)
        if value is not None
    }


def wanted(found: dict[str, str]) -> dict[str, str]:
    return {name: WANTED[name] for name in found}


def assert_works(parts: Runtime) -> None:
    """A callback is written down, and its event read as it was."""
    source = add_source(parts)
    assert record(parts, delivery(parts, source), event(parts, "FT1")).is_new
    with parts.database.read() as connection:
        assert events.latest(connection, source.id, parts.clock() + SKEW) == parts.clock()
    schema.check(parts.database)


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    return postgresql_url


def test_every_setting_that_is_pinned_is_tried_with_another_value() -> None:
    assert HOSTILE.keys() == WANTED.keys()
    assert not [name for name in HOSTILE if HOSTILE[name] == WANTED[name]]


@pytest.mark.parametrize("whose", ["DATABASE", "ROLE"])
def test_defaults_of_the_database_or_the_role_change_nothing(
    parts: Runtime, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    name = make_url(postgresql_url).database
    set_for(postgresql_url, f"DATABASE {name}" if whose == "DATABASE" else f"ROLE postgres IN DATABASE {name}", HOSTILE)
    # The driver's library sends these behind the start-up options, so that they would win.
    monkeypatch.setenv("PGDATESTYLE", "SQL, DMY")
    monkeypatch.setenv("PGTZ", "Asia/Kathmandu")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    found = shown(parts.database, list(WANTED))
    assert found == wanted(found)
    assert shown(parts.database, ["client_encoding"]) == {"client_encoding": "UTF8"}
    assert parts.database.notice is None
    assert_works(parts)


def test_start_up_options_of_the_url_hold_beside_ours(postgresql_url: str) -> None:
    url = make_url(postgresql_url).update_query_dict({"options": "-c work_mem=5MB -c datestyle=German"})
    database = Database(url.render_as_string(hide_password=False))
    assert shown(database, ["work_mem", "datestyle"]) == {"work_mem": "5MB", "datestyle": "ISO, MDY"}
    database.close()


@dataclass
class Pooler:
    """A PgBouncer in front of a database, with one server connection for all clients."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path


def start_pooler(postgresql_url: str, **more: str) -> Pooler:
    if shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("PgBouncer is not installed; continuous integration does")
    url, port = make_url(postgresql_url), free_port()
    host, name = str(url.query.get("host") or url.host or "127.0.0.1"), url.database
    folder = Path(tempfile.mkdtemp(prefix="rcv-pooler-"))
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": "1",
        "unix_socket_dir": "",
        **more,
    }
    target = f"host={host} port={url.port or 5432} user={url.username or 'postgres'} dbname={name}"
    settings = "\n".join(f"{key} = {value}" for key, value in lines.items())
    (folder / "pgbouncer.ini").write_text(f"[databases]\n{name} = {target}\n[pgbouncer]\n{settings}\n")
    # It refuses to run as root, and wants to reach a socket that its owner alone may.
    owner = Path(host).stat().st_uid if os.geteuid() == 0 and host.startswith("/") else os.geteuid()
    os.chown(folder, owner, -1)
    process = subprocess.Popen(
        [shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") or "pgbouncer", "-q", str(folder / "pgbouncer.ini")],
        user=owner,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return Pooler(f"postgresql+psycopg://postgres@127.0.0.1:{port}/{name}", process, folder)


@pytest.fixture
def pooler(postgresql_url: str, request: pytest.FixtureRequest) -> Iterator[Pooler]:
    started = start_pooler(postgresql_url, **getattr(request, "param", {}))
    try:
        wait_for(started)
        yield started
    finally:
        started.process.terminate()
        started.process.wait(60)
        shutil.rmtree(started.folder)


def wait_for(pooler: Pooler) -> None:
    """Wait until it answers by a session that lives: of one that the server has ended it learns a little later."""
    ends = time.monotonic() + 60
    while True:
        try:
            with psycopg.connect(pooler.url.replace("+psycopg", "")) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            # Not only an operational one: its last word may come as a second answer to the statement.
            assert time.monotonic() < ends, "the pooler does not answer"
            assert pooler.process.poll() is None
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def pooled(pooler: Pooler, clock: StandingClock) -> Iterator[Runtime]:
    """A process's parts over a pooler."""
    started = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=pooler.url), clock)
    yield started
    started.database.close()


IGNORING = {"ignore_startup_parameters": "options,extra_float_digits"}


@pytest.mark.parametrize("pooler", [{}, IGNORING], indirect=True, ids=["refuses options", "ignores options"])
def test_behind_a_pooler_each_transaction_has_the_settings_and_the_start_says_what_to_do(
    postgresql_url: str, pooler: Pooler, pooled: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    set_for(postgresql_url, f"DATABASE {make_url(postgresql_url).database}", NOT_READ_ONLY)
    wait_for(pooler)
    for _ in range(3):
        found = shown(pooled.database, [name for name in WANTED if not name.startswith("default_")])
        assert found == wanted(found)
    notice = pooled.database.notice
    assert notice is not None
    assert "synchronous_commit is off" in notice
    assert "ALTER ROLE \"postgres\" SET synchronous_commit = 'on';" in notice
    assert [record.message for record in caplog.records].count(notice) == 1
    assert_works(pooled)


@pytest.mark.parametrize("pooler", [{}], indirect=True)
def test_behind_a_pooler_whose_role_has_the_settings_nothing_is_said(
    postgresql_url: str, pooler: Pooler, pooled: Runtime
) -> None:
    set_for(postgresql_url, f"ROLE postgres IN DATABASE {make_url(postgresql_url).database}", WANTED)
    wait_for(pooler)
    assert_works(pooled)
    assert pooled.database.notice is None


@pytest.mark.parametrize("pooler", [{"default_pool_size": "2"}], indirect=True)
def test_behind_a_pooler_of_unlike_sessions_what_one_lacks_is_set_in_all(
    postgresql_url: str, pooler: Pooler, pooled: Runtime
) -> None:
    database, names = make_url(postgresql_url).database, [name for name in WANTED if not name.startswith("default_")]
    set_for(postgresql_url, f"ROLE postgres IN DATABASE {database}", WANTED)
    wait_for(pooler)
    with pooled.database.read() as connection:
        # This connection's look met a session that lacks nothing, and holds it.
        connection.execute(text("SELECT 1"))
        raw = pooler.url.replace("+psycopg", "")
        with psycopg.connect(make_url(postgresql_url).set(drivername="postgresql").render_as_string(False)) as plain:
            plain.autocommit = True
            plain.execute(f'ALTER ROLE postgres IN DATABASE "{database}" SET synchronous_commit TO off'.encode())
        with psycopg.connect(raw) as other:
            # The pooler's other session is a new one.
            assert other.execute("SHOW synchronous_commit").fetchone() == ("off",)
        with pooled.database.read():
            assert pooled.database.notice is not None
    with psycopg.connect(raw) as good, ThreadPoolExecutor(1) as pool:
        while good.execute("SHOW synchronous_commit").fetchone() != ("on",):
            good.rollback()
        # The transactions of either connection get the session that is left; they take turns.
        for _ in range(2):
            found = pool.submit(shown, pooled.database, names).result(60)
            assert found == wanted(found)
    assert "synchronous_commit is off" in str(pooled.database.notice)


@pytest.mark.parametrize("pooler", [{"default_pool_size": "3"}], indirect=True)
def test_behind_a_pooler_no_statement_is_prepared_on_a_session_that_others_get(pooled: Runtime) -> None:
    source = add_source(pooled)

    def receive(number: int) -> None:
        assert record(pooled, delivery(pooled, source), event(pooled, f"FT{number}")).is_new

    with ThreadPoolExecutor(6) as pool:
        # Far more often than the driver would wait before it prepares a statement.
        list(pool.map(receive, range(60)))


@pytest.mark.parametrize("pooler", [{}], indirect=True)
def test_behind_a_pooler_a_session_that_the_server_has_ended_is_an_outage_and_the_next_transaction_has_another(
    postgresql_url: str, pooler: Pooler, pooled: Runtime
) -> None:
    for _ in range(10):
        set_for(postgresql_url, "ROLE postgres", {})
        with suppress(StoreUnavailable):
            check_writable(pooled.database)
        wait_for(pooler)
        check_writable(pooled.database)
