"""`receiver run`: web server and reconciler together, and how they end."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from conftest import KEY
from servers import RECEIVER, environment, free_port

START_SECONDS = 120
STOP_SECONDS = 20


class Running:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        served = environment(f"sqlite:///{folder}/new/receiver.db", KEY, PORT=str(self.port))
        self.process = subprocess.Popen([*RECEIVER, "run"], env=served, start_new_session=True)
        ends = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert time.monotonic() < ends, "it did not get ready"
            assert self.process.poll() is None, "it ended"
            time.sleep(0.1)
        self.family = [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(True))]

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).ok
        except requests.RequestException:
            return False

    def wait_until_all_are_gone(self) -> None:
        ends = time.monotonic() + STOP_SECONDS
        while any(_is_alive(pid) for pid in self.family):
            assert time.monotonic() < ends, f"still there: {[pid for pid in self.family if _is_alive(pid)]}"
            time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path)
    yield started
    for pid in started.family:
        if _is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    started.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_stops_everything_and_exits_0(running: Running, number: signal.Signals) -> None:
    running.process.send_signal(number)
    assert running.process.wait(STOP_SECONDS) == 0
    running.wait_until_all_are_gone()


def test_killed_it_leaves_nothing_running(running: Running) -> None:
    running.process.kill()
    running.process.wait()
    running.wait_until_all_are_gone()


def test_it_ends_with_a_failure_where_one_of_its_processes_ends(running: Running) -> None:
    worker = next(
        child
        for child in psutil.Process(running.process.pid).children()
        if "worker" in child.cmdline() and "gunicorn" not in " ".join(child.cmdline())
    )
    worker.kill()
    assert running.process.wait(STOP_SECONDS) == 1
    running.wait_until_all_are_gone()
