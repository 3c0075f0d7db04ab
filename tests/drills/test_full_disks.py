"""A full disk: banks are asked to come back, nothing is damaged, and with room again everything is taken in."""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from bank import BankSigner
from conftest import KEY, add_source, make_token
from drills.ledger import assert_each_once, assert_whole, read_feed
from drills.senders import Senders, Sent
from servers import WebServer, environment

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema

PAGE_BYTES = 4096

ROOM_BYTES = 128 * 1024
"""Enough for a few dozen callbacks, so that the disk is full soon."""


@dataclass
class Disk:
    """A database on a disk whose room can be taken away and given back while the server runs."""

    parts: Runtime
    server: WebServer
    fill: Callable[[], None]
    empty: Callable[[], None]


@pytest.fixture
def served() -> Iterator[Callable[[Path], tuple[Runtime, WebServer]]]:
    """Starts a receiver over a fresh SQLite file in a folder."""
    started: list[tuple[Runtime, WebServer]] = []

    def serve(folder: Path) -> tuple[Runtime, WebServer]:
        url = f"sqlite:///{folder}/receiver.db"
        parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
        schema.upgrade(parts.database, parts.encryption)
        add_source(parts)
        given = environment(url, KEY, RECEIVER_LOG_LEVEL="ERROR", RECEIVER_PROCESSES="2")
        server = WebServer({**given, "RECEIVER_METRICS_DIRECTORY": str(folder / "metrics")}).start()
        started.append((parts, server))
        return parts, server

    yield serve
    for parts, server in started:
        server.stop()
        parts.database.close()


@pytest.fixture
def limited(tmp_path: Path, served: Callable[[Path], tuple[Runtime, WebServer]]) -> Disk:
    """No file of the server's may grow beyond a limit: needs no rights, and shows as an I/O error."""
    parts, server = served(tmp_path)
    assert server.process is not None
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(most: int) -> None:
        assert server.process is not None
        for number in family(server.process.pid):
            resource.prlimit(number, resource.RLIMIT_FSIZE, (most, whole[1]))

    return Disk(parts, server, lambda: limit(PAGE_BYTES), lambda: limit(whole[0]))


@pytest.fixture
def tiny(tmp_path: Path, served: Callable[[Path], tuple[Runtime, WebServer]]) -> Iterator[Disk]:
    """A file system of 64 MB, well above what the write-ahead log takes; only where mounting one is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=64m", "receiver-drill", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs is not allowed here")
    ballast = folder / "ballast"

    def fill() -> None:
        # The server goes on writing meanwhile; where it was faster, the disk is full all the same.
        with suppress(OSError):
            ballast.write_bytes(b"\0" * max(0, shutil.disk_usage(folder).free - ROOM_BYTES))

    parts, server = served(folder)
    try:
        yield Disk(parts, server, fill, ballast.unlink)
    finally:
        server.stop()
        parts.database.close()
        subprocess.run(["umount", str(folder)], check=True)


def family(pid: int) -> list[int]:
    """A process and its children (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def drill(disk: Disk, bank: BankSigner, *, rounds: int, callbacks: int) -> None:
    """Fill the disk while callbacks come, look at the answers, make room, and count: `rounds` times over."""
    url, token = disk.server.url, make_token(disk.parts)
    results: list[Sent] = []
    for turn in range(rounds):
        first = turn * callbacks
        with Senders(url, bank, range(first, first + callbacks), threads=4) as senders:
            senders.wait_for(callbacks // 10)
            disk.fill()
            try:
                wait_until_full(senders)
                replace_processes(disk.server)
            finally:
                disk.empty()
            results += senders.results()
            assert senders.refusals[503] > 0
        assert requests.get(f"{url}/readyz", timeout=10).status_code == 200
        assert_whole(disk.parts)
    assert_each_once(disk.parts, results, read_feed(url, token))


def wait_until_full(senders: Senders) -> None:
    """Wait until nothing more gets in: some refusals, and no acceptance for a while."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        before = senders.answered
        time.sleep(0.5)
        if senders.refusals[503] and before == senders.answered < len(senders.numbers):
            return
    raise AssertionError("the disk did not get full")


def replace_processes(server: WebServer) -> None:
    """Kill those that answer, and wait until others do: what can't be written at their start ends no server."""
    assert server.process is not None
    for number in family(server.process.pid)[1:]:
        os.kill(number, signal.SIGKILL)
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with suppress(requests.RequestException):
            assert requests.get(f"{server.url}/healthz", timeout=10).status_code == 200
            return
        assert server.process.poll() is None, "the server has ended"
        time.sleep(0.05)
    raise AssertionError("nobody answers")


@pytest.mark.parametrize("disk", ["limited", "tiny"])
def test_a_full_disk_loses_nothing_and_is_recovered_from(
    request: pytest.FixtureRequest, live_bank: BankSigner, disk: str
) -> None:
    drill(request.getfixturevalue(disk), live_bank, rounds=1, callbacks=200)


@pytest.mark.drill
@pytest.mark.timeout(900)
@pytest.mark.parametrize("disk", ["limited", "tiny"])
def test_a_disk_that_is_full_time_and_again_loses_nothing(
    request: pytest.FixtureRequest, live_bank: BankSigner, disk: str
) -> None:
    drill(request.getfixturevalue(disk), live_bank, rounds=6, callbacks=300)
