"""A web process that dies and can't be replaced yet: the others go on, and it is replaced once that can be."""

import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, add_source
from servers import ROOT, WebServer, environment
from sqlalchemy import text

from receiver import runtime
from receiver.runtime import Runtime
from receiver.server.start import prepare, replacing
from receiver.settings import Settings
from receiver.store import schema
from receiver.store.schema import NotMigrated

DEADLINE_SECONDS = 60

ANEW = "a web process can't be replaced, and is tried anew in 2 s: "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mounted"
    made.mkdir()
    return made


@pytest.fixture
def mounted(folder: Path) -> Iterator[Runtime]:
    url = f"sqlite:///{folder}/data/receiver.db"
    opened = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
    schema.upgrade(opened.database, opened.encryption)
    add_source(opened)
    yield opened
    opened.database.close()


@pytest.fixture
def start(mounted: Runtime, tmp_path: Path) -> Iterator[Callable[..., WebServer]]:
    """Starts a server of two processes, with its log in `log`."""
    started = []

    def start(project: Path = ROOT, **more: str) -> WebServer:
        given = environment(mounted.settings.database_url, KEY, RECEIVER_PROCESSES="2", RECEIVER_LOG_LEVEL="WARNING")
        server = WebServer({**given, **more}, folder=project, output=tmp_path / "log")
        started.append(server)
        wait_until_both_serve(server.start())
        return server

    yield start
    for server in started:
        server.stop()


def processes(server: WebServer) -> set[int]:
    assert server.process is not None
    assert server.process.poll() is None, "the server has ended"
    return {child.pid for child in psutil.Process(server.process.pid).children()}


def eventually(server: WebServer, is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < ends
        processes(server)
        time.sleep(0.05)


def wait_until_both_serve(server: WebServer) -> None:
    """Connect until each of the two has taken one in: until then they are those that start, and may end the server."""
    with ExitStack() as opened:

        def do() -> bool:
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            serving = [
                number
                for number in processes(server)
                if any(each.status == psutil.CONN_ESTABLISHED for each in psutil.Process(number).net_connections("tcp"))
            ]
            return len(serving) == 2

        eventually(server, do)


def kill_one(server: WebServer) -> int:
    """Kill the process that was started first, and return the one that stays."""
    first, other = sorted(processes(server))
    os.kill(first, signal.SIGKILL)
    return other


def answer(server: WebServer, path: str = "/healthz") -> int:
    return requests.get(f"{server.url}{path}", headers={"Connection": "close"}, timeout=10).status_code


def are_ready(server: WebServer) -> bool:
    try:
        return {answer(server, "/readyz") for _ in range(20)} == {200}
    except requests.RequestException:
        return False


def accept(server: WebServer, bank: BankSigner) -> None:
    """Wait until all that answer are ready, and have a callback accepted."""
    eventually(server, lambda: are_ready(server))
    signed = bank.sign(deposit())
    headers = {**signed.headers, "Connection": "close"}
    assert requests.post(f"{server.url}{signed.path}", signed.body, headers=headers, timeout=30).status_code == 200


def take_away(folder: Path) -> Path:
    """Leave something in the folder's place that is none, so that nobody makes it anew."""
    away = folder.with_name("away")
    folder.rename(away)
    folder.touch()
    return away


def put_back(folder: Path, away: Path) -> None:
    folder.unlink()
    away.rename(folder)


def test_without_the_databases_folder_the_others_go_on_and_the_new_one_is_tried_until_it_is_back(
    start: Callable[..., WebServer], folder: Path, tmp_path: Path, live_bank: BankSigner
) -> None:
    log = tmp_path / "log"
    server = start(RECEIVER_METRICS_DIRECTORY=str(folder / "metrics"))
    away = take_away(folder)
    stays = kill_one(server)
    eventually(server, lambda: log.read_text().count(f"{ANEW}RECEIVER_METRICS_DIRECTORY is wrong (") == 2)
    assert answer(server) == 200
    put_back(folder, away)
    accept(server, live_bank)
    eventually(server, lambda: len(processes(server)) == 2)
    assert stays in processes(server)


def test_a_server_starts_without_the_databases_folder_and_makes_no_database_where_an_empty_one_is_left(
    start: Callable[..., WebServer], folder: Path, tmp_path: Path, live_bank: BankSigner
) -> None:
    log, away = tmp_path / "log", take_away(folder)
    server = start(RECEIVER_METRICS_DIRECTORY=str(tmp_path / "metrics"))
    assert answer(server, "/readyz") == 503
    assert re.search(r"starting without a database: no folder for .*RECEIVER_DATABASE_URL", log.read_text())
    put_back(folder, away)
    eventually(server, lambda: are_ready(server))
    folder.rename(away)
    (folder / "data").mkdir(parents=True)
    stays = kill_one(server)
    eventually(server, lambda: "starting without a database: unable to open database file" in log.read_text())
    eventually(server, lambda: 503 in {answer(server, "/readyz") for _ in range(20)})
    # What is left there else belongs to the writers' turns, and is opened anew for each.
    assert not (folder / "data" / "receiver.db").exists()
    shutil.rmtree(folder)
    away.rename(folder)
    accept(server, live_bank)
    assert stays in processes(server)


def test_settings_that_are_half_edited_end_no_server(
    start: Callable[..., WebServer], tmp_path: Path, live_bank: BankSigner
) -> None:
    project, log = tmp_path / "project", tmp_path / "log"
    project.mkdir()
    for name in ("gunicorn.conf.py", "wsgi.py"):
        shutil.copy(ROOT / name, project)
    server = start(project)
    (project / ".env").write_text("RECEIVER_WAITING_MAX=\nRECEIVER_WAITING_MAX=many\n")
    kill_one(server)
    eventually(server, lambda: f"{ANEW}RECEIVER_WAITING_MAX is wrong (" in log.read_text())
    assert answer(server) == 200
    (project / ".env").write_text("RECEIVER_WAITING_MAX=1000\n")
    accept(server, live_bank)
    eventually(server, lambda: len(processes(server)) == 2)


def test_over_tables_of_a_newer_release_a_process_is_replaced_and_no_server_starts(parts: Runtime) -> None:
    with parts.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NotMigrated):
        prepare(parts)
    with replacing():
        prepare(parts)
