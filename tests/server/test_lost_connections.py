"""Senders that go away without a word: nothing is wrong here, and nothing is logged as if it were."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
from conftest import KEY
from server.test_unix_sockets import AS_SYSTEMD, WEB
from servers import ROOT, environment

DEADLINE_SECONDS = 60


def test_a_connection_that_the_system_gives_up_is_no_fault(sqlite_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as handed, log.open("ab") as output, socket.socket() as sender:
        # What is accepted by it is given up (ETIMEDOUT) after a second in which the other side takes nothing.
        handed.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender.connect(handed.getsockname())
        command = [sys.executable, "-c", AS_SYSTEMD, str(handed.fileno()), *WEB]
        served = environment(sqlite_url, KEY)
        process = subprocess.Popen(
            command, env=served, cwd=ROOT, pass_fds=[handed.fileno()], stdout=output, stderr=output
        )
        try:
            # Answers that come to more than the system holds for whoever does not take them.
            sender.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            is_served = False
            ends = time.monotonic() + DEADLINE_SECONDS
            while (now := bool(_connections(process))) or not is_served:
                is_served = is_served or now
                assert time.monotonic() < ends
                time.sleep(0.05)
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)
    assert "a connection failed" not in log.read_text()


def _connections(process: subprocess.Popen[bytes]) -> list[object]:
    return [
        each
        for worker in psutil.Process(process.pid).children()
        for each in worker.net_connections("tcp")
        if each.status == psutil.CONN_ESTABLISHED
    ]
