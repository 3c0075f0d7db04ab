"""A server on a unix socket: whom it believes, and whose the socket is."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from bank import BankSigner, deposit
from conftest import KEY, add_source
from raw_http import Answer, answers, receive
from servers import RECEIVER, ROOT, environment

from receiver.runtime import Runtime

WEB = [
    sys.executable,
    str(Path(sys.executable).with_name("gunicorn")),
    "-c",
    str(ROOT / "gunicorn.conf.py"),
    "wsgi:app",
]
"""By its own script: started by `-m`, gunicorn does not find itself when it is to start anew (USR2)."""

START_SECONDS = 120

AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Hands a socket over as systemd does, see sd_listen_fds(3)."""

Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here differs between the databases."""
    return sqlite_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.sock"


@pytest.fixture
def serve(path: Path, sqlite_url: str) -> Iterator[Serve]:
    """Starts a server on the socket, or on one that it is handed there, and waits until it answers."""
    started: list[subprocess.Popen[str]] = []

    def serve(handed: socket.socket | None = None, **more: str) -> subprocess.Popen[str]:
        served = environment(sqlite_url, KEY, RECEIVER_BIND=f"unix:{path}", **more)
        if handed is None:
            process = subprocess.Popen(WEB, env=served, cwd=ROOT, text=True)
        else:
            command = [sys.executable, "-c", AS_SYSTEMD, str(handed.fileno()), *WEB]
            process = subprocess.Popen(command, env=served, cwd=ROOT, text=True, pass_fds=[handed.fileno()])
        started.append(process)
        wait_for(process, path)
        return process

    yield serve
    for process in started:
        process.terminate()
        process.wait(90)


def wait_for(process: subprocess.Popen[str], path: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        assert process.poll() is None, f"gunicorn ended with {process.returncode}"
        with suppress(OSError):
            ask(path, "/healthz")
            return
        time.sleep(0.05)
    raise AssertionError("gunicorn did not start in time")


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(60)
        caller.connect(str(path))
        yield caller


def ask(path: Path, target: str, *headers: str) -> Answer:
    """Send one request over the socket, and return its answer."""
    lines = [f"GET {target} HTTP/1.1", "Host: receiver.example", "Connection: close", *headers]
    with connected(path) as caller:
        caller.sendall("\r\n".join([*lines, "", ""]).encode())
        (found,) = answers(receive(caller))
    return found


def test_no_header_takes_a_request_to_another_page_or_makes_it_one_of_https(serve: Serve, path: Path) -> None:
    """For gunicorn itself whoever comes over a unix socket is a proxy that may say such things."""
    serve()
    plain = ask(path, "/staff/sign-in")
    assert b"Over plain HTTP nobody signs in" in plain.body
    assert ask(path, "/webhooks/staff/sign-in", "SCRIPT_NAME: /webhooks").status == 405
    assert ask(path, "/healthz", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off").status == 200
    for header in ("X-Forwarded-Ssl: on", "X-Forwarded-Proto: https", "X-Forwarded-Protocol: ssl"):
        said = ask(path, "/staff/sign-in", header)
        assert b"Over plain HTTP nobody signs in" in said.body
        assert "set-cookie" not in said.headers


def test_a_proxy_that_is_named_says_that_the_browser_came_by_https(serve: Serve, path: Path) -> None:
    serve(RECEIVER_TRUSTED_PROXIES="unix")
    said = ask(path, "/staff/sign-in", "X-Forwarded-Proto: https")
    assert b"Over plain HTTP nobody signs in" not in said.body
    assert "Secure" in said.headers["set-cookie"]
    assert b"Over plain HTTP nobody signs in" in ask(path, "/staff/sign-in", "X-Forwarded-Ssl: on").body


def served_by(path: Path) -> int:
    """The process that has begun to listen on the socket."""
    with connected(path) as caller:
        number, _, _ = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(number)


@pytest.mark.parametrize(
    "command", [WEB, [sys.executable, "app.py"], [*RECEIVER, "run"]], ids=["gunicorn", "app.py", "receiver run"]
)
def test_a_second_server_does_not_take_a_socket_from_the_first(
    command: list[str], serve: Serve, path: Path, sqlite_url: str, tmp_path: Path
) -> None:
    first = serve()
    served = environment(f"{sqlite_url}-copy", KEY, RECEIVER_BIND=f"unix:{path}", PORT="8001")
    ended = subprocess.run(command, env=served, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f": RECEIVER_BIND is wrong (unix:{path}: in use by another server); it takes: " in line
    assert served_by(path) == first.pid
    assert not list(tmp_path.glob("*.db-copy*"))


def test_a_socket_that_a_killed_server_has_left_is_made_anew(serve: Serve, path: Path) -> None:
    first = serve()
    workers = psutil.Process(first.pid).children()
    first.kill()
    first.wait(60)
    # They see within a second that it has gone.
    assert psutil.wait_procs(workers, 60)[1] == []
    assert path.is_socket()
    assert serve().pid == served_by(path)


def test_a_server_listens_on_a_socket_that_it_is_handed_as_by_systemd(serve: Serve, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as handed:
        handed.bind(str(path))
        handed.listen()
        serve(handed)
        assert served_by(path) == os.getpid()


def test_a_server_takes_the_socket_over_from_the_one_that_has_begun_it(serve: Serve, path: Path) -> None:
    first = serve()
    first.send_signal(signal.SIGUSR2)
    ends = time.monotonic() + START_SECONDS
    # The master's one worker has none of its own.
    while not (masters := [one for one in psutil.Process(first.pid).children() if one.children()]):
        assert time.monotonic() < ends
        time.sleep(0.05)
    first.terminate()
    assert first.wait(60) == 0
    try:
        assert ask(path, "/healthz").status == 200
    finally:
        masters[0].terminate()
        masters[0].wait(60)


def test_a_stop_finishes_what_was_taken_in_where_the_sockets_file_is_gone(
    serve: Serve, path: Path, parts: Runtime, live_bank: BankSigner
) -> None:
    add_source(parts)
    server, signed = serve(), live_bank.sign(deposit())
    head = f"POST {signed.path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(signed.body)}\r\n"
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    with connected(path) as caller:
        caller.sendall(f"{head}{headers}\r\n".encode())
        assert caller.recv(65536).startswith(b"HTTP/1.1 100 ")
        aside = path.rename(path.with_name("aside.sock"))
        server.terminate()
        with suppress(ConnectionRefusedError):
            while True:
                with connected(aside):
                    time.sleep(0.05)
        caller.sendall(signed.body)
        (answer,) = answers(receive(caller))
    assert (answer.status, answer.json["status"]) == (200, "accepted")
    assert server.wait(60) == 0


def test_a_stop_leaves_a_socket_that_is_anothers_by_now(serve: Serve, path: Path) -> None:
    first = serve()
    path.unlink()
    second = serve()
    first.terminate()
    assert first.wait(60) == 0
    assert served_by(path) == second.pid
    second.terminate()
    assert second.wait(60) == 0
    assert not path.exists()
