"""`/metrics` of real processes: several of gunicorn's, the worker beside them, ends and new beginnings."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, add_source
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from servers import RECEIVER, WebServer, environment

from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.bcb import Simulator

DEADLINE_SECONDS = 60


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as started:
        yield started


@pytest.fixture
def given(database_url: str, live: Runtime, simulator: Simulator) -> dict[str, str]:
    """The environment of all processes of one receiver."""
    add_source(live, base_url=simulator.url)
    return environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING", RECEIVER_PROCESSES="3")


@pytest.fixture
def web(given: dict[str, str], tmp_path: Path) -> Iterator[WebServer]:
    started = WebServer({**given, "RECEIVER_METRICS_DIRECTORY": str(tmp_path / "counted")}).start()
    yield started
    started.stop()


def samples(web: WebServer) -> dict[tuple[str, ...], float]:
    # A new connection each time, so that any process may answer.
    headers = {"Accept": "application/openmetrics-text", "Connection": "close"}
    answer = requests.get(f"{web.url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def eventually(found: Callable[[], Any]) -> Any:
    ends = time.monotonic() + DEADLINE_SECONDS
    while not (value := found()):
        assert time.monotonic() < ends
        time.sleep(0.1)
    return value


def send(web: WebServer, bank: BankSigner, number: int) -> None:
    signed = bank.sign(deposit(transactionId=f"FT{number}"))
    headers = {**signed.headers, "Connection": "close"}
    assert requests.post(f"{web.url}{signed.path}", signed.body, headers=headers, timeout=30).status_code == 200


ACCEPTED = ("receiver_deliveries_total", "", "bcb", "accepted")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_every_process_tells_what_all_of_them_and_the_worker_have_counted(
    web: WebServer, live_bank: BankSigner
) -> None:
    for number in range(30):
        send(web, live_bank, number)
    assert {samples(web)[ACCEPTED] for _ in range(12)} == {30}
    worker = subprocess.run([*RECEIVER, "worker", "--once"], env=web.environment, capture_output=True, check=False)
    assert worker.returncode == 0, worker.stderr
    # The worker has ended, and what it counted is told all the same.
    found = samples(web)
    assert found["receiver_bank_requests_total", "answered", "bcb"] >= 1
    asked = sum(value for key, value in found.items() if key[0] == "receiver_bank_requests_total")
    assert asked >= 30
    assert found["receiver_worker_last_round_seconds",] < DEADLINE_SECONDS


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_counter_falls_where_a_process_is_killed_and_another_takes_its_place(
    web: WebServer, live_bank: BankSigner
) -> None:
    assert web.process is not None
    for number in range(20):
        send(web, live_bank, number)
    before = {child.pid for child in psutil.Process(web.process.pid).children()}
    os.kill(min(before), signal.SIGKILL)
    master = psutil.Process(web.process.pid)
    eventually(lambda: len({child.pid for child in master.children()} - before) == 1 and web.processes == 3)
    eventually(lambda: len(list(Path(web.environment["RECEIVER_METRICS_DIRECTORY"]).glob("counter_*.db"))) == 4)
    assert samples(web)[ACCEPTED] == 20
    send(web, live_bank, 20)
    assert {samples(web)[ACCEPTED] for _ in range(6)} == {21}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_where_processes_can_t_share_callbacks_are_taken_all_the_same(
    database_url: str, live_bank: BankSigner, live: Runtime, tmp_path: Path
) -> None:
    add_source(live)
    # Where the default directory would be there is a file, and the system's own folder is no folder.
    (tmp_path / "receiver.db-metrics").touch()
    (tmp_path / "tmp").mkdir()
    log = tmp_path / "log"
    given = environment(database_url, KEY, TMPDIR=str(tmp_path / "tmp"))
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=database_url)
    for directory in settings.metrics_directories[1:]:
        (tmp_path / "tmp" / directory.name).touch()
    web = WebServer(given, output=log).start()
    try:
        send(web, live_bank, 1)
        assert samples(web)[ACCEPTED] == 1
    finally:
        web.stop()
    assert "the counters of /metrics are those of one process" in log.read_text()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_directory_that_was_set_and_is_none_stops_the_start_with_one_line(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = environment(database_url, KEY, RECEIVER_METRICS_DIRECTORY=str(tmp_path / "file"))
    ended = subprocess.run([*RECEIVER, "worker", "--once"], env=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "RECEIVER_METRICS_DIRECTORY is wrong (" in ended.stderr
    assert ended.stderr.count("\n") == 1
    with pytest.raises(SystemExit, match="4"):
        start_web(given)


def start_web(given: dict[str, str]) -> None:
    from receiver.server.start import wsgi_app

    with pytest.MonkeyPatch.context() as patches:
        for name, value in given.items():
            patches.setenv(name, value)
        wsgi_app()
