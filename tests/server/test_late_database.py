"""A database that is away at the start: once it is back, what the environment sets is applied before all else."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from bank import SECRET, BankSigner, deposit
from conftest import KEY, unhurried
from pydantic import SecretStr
from servers import WebServer, environment
from sqlalchemy import Connection, text
from web.reading import assert_problem

from receiver import runtime
from receiver.admin import bcb_from_environment
from receiver.runtime import Runtime
from receiver.server import late_database
from receiver.store import sources
from receiver.store.database import Database, StoreUnavailable
from receiver.store.sqlite_write_lock import SqliteWriteLock
from receiver.web import create_app


def over(parts: Runtime, secret: str = SECRET) -> Runtime:
    """The parts of a process that has not found its database, and whose environment sets the source `bcb`."""
    given = {"bcb_message_signing_secret": SecretStr(secret), "bcb_base_url": "http://127.0.0.1:9"}
    settings = parts.settings.model_copy(update=given)
    return late_database.over(unhurried(runtime.start(settings, parts.clock)))


@pytest.fixture
def away(sqlite_url: str, tmp_path: Path) -> Path:
    """The folder of the database, which is somewhere else by now."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    Path(sqlite_url.removeprefix("sqlite:///")).rename(folder / "receiver.db")
    folder.rename(tmp_path / "away")
    # What is none, so that nobody makes it anew.
    folder.touch()
    return tmp_path / "away"


def test_a_source_from_the_environment_is_there_as_soon_as_the_database_is(
    away: Path, live_bank: BankSigner, tmp_path: Path
) -> None:
    more = {"BCB_MESSAGE_SIGNING_SECRET": SECRET, "RECEIVER_METRICS_DIRECTORY": f"{tmp_path}/metrics"}
    given = environment(f"sqlite:///{tmp_path}/mounted/receiver.db", KEY, RECEIVER_PROCESSES="2", **more)
    server = WebServer(given).start()

    def post() -> int:
        signed = live_bank.sign(deposit())
        headers = {**signed.headers, "Connection": "close"}
        return requests.post(server.url + signed.path, signed.body, headers=headers, timeout=60).status_code

    try:
        assert {post() for _ in range(10)} == {503}
        (tmp_path / "mounted").unlink()
        away.rename(tmp_path / "mounted")
        answers, ends = [post()], time.monotonic() + 60
        while answers[-10:] != [200] * 10 and time.monotonic() < ends:
            answers.append(post())
        assert set(answers) <= {503, 200}
        assert answers[-1] == 200
        assert requests.get(f"{server.url}/readyz", timeout=60).status_code == 200
    finally:
        server.stop()


def test_of_many_who_come_first_one_applies_it_and_processes_do_not_get_in_each_others_way(parts: Runtime) -> None:
    late, other = over(parts), over(parts)
    together = threading.Barrier(8)

    def look(number: int) -> str:
        together.wait()
        try:
            with (late if number % 2 else other).database.read() as connection:
                return "there" if sources.find(connection, "bcb") is not None else "missing"
        except StoreUnavailable as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(look, range(8)))
    assert "there" in found
    assert found <= {"there", "what the environment sets is applied just now"}
    for one in (late, other):
        with one.database.write() as connection:
            assert list(sources.names(connection).values()) == ["bcb"]
        one.database.close()


def test_what_can_not_be_applied_leaves_the_process_unready_and_is_tried_once_a_second(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []
    real = bcb_from_environment.apply

    def apply(started: Runtime, seconds: float) -> bool:
        tries.append(started)
        return real(started, seconds)

    monkeypatch.setattr(bcb_from_environment, "apply", apply)
    monkeypatch.setattr(late_database, "PAUSE_SECONDS", 3600)
    late = over(parts, "not Base64!")
    client = create_app(late).test_client()
    for path in ("/webhooks/bcb", "/webhooks/other"):
        assert_problem(client.post(path, data=b"{}"), 503)
    assert_problem(client.get("/readyz"), 503)
    assert client.get("/healthz").status_code == 200
    assert len(tries) == 1
    assert "BCB_MESSAGE_SIGNING_SECRET is wrong" in caplog.text
    assert "not Base64!" not in caplog.text
    assert [each.levelname for each in caplog.records if "counts as away until this is mended" in each.message] == [
        "ERROR"
    ]
    late.database.close()


def test_while_another_process_writes_no_callback_waits_for_all_tries_of_a_start(
    parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be five, of four seconds each."""
    if parts.database.file is None:
        pytest.skip("PostgreSQL has no turns")
    others = SqliteWriteLock(str(parts.database.file))
    waited = []
    real = Database.write

    @contextmanager
    def write(
        database: Database, seconds: float | None = None, turn_seconds: float | None = None
    ) -> Iterator[Connection]:
        waited.append(turn_seconds)
        with real(database, seconds, turn_seconds) as connection:
            yield connection

    late = over(parts)
    monkeypatch.setattr(Database, "write", write)
    monkeypatch.setattr(late_database, "TRY_SECONDS", 0.01)
    client = create_app(late).test_client()
    with others.of_processes(time.monotonic() + 60):
        assert_problem(client.post("/webhooks/bcb", data=b"{}"), 503)
    assert waited == [0.01]
    late.database.close()


def test_over_tables_of_an_older_release_nothing_is_applied(parts: Runtime) -> None:
    with parts.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    late = over(parts)
    assert_problem(create_app(late).test_client().post("/webhooks/bcb", data=b"{}"), 503)
    with parts.database.read() as connection:
        assert sources.every(connection) == []
    late.database.close()


def test_where_the_environment_sets_nothing_there_is_nothing_to_wait_for(parts: Runtime) -> None:
    assert late_database.over(parts) is parts
