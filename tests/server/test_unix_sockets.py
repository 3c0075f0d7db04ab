"""A server on a unix socket: whom it believes."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import KEY
from raw_http import Answer, answers, receive
from servers import ROOT, environment

WEB = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
START_SECONDS = 120

Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.sock"


@pytest.fixture
def serve(path: Path, sqlite_url: str) -> Iterator[Serve]:
    """Starts a server on the socket, and waits until it answers there."""
    started: list[subprocess.Popen[str]] = []

    def serve(**more: str) -> subprocess.Popen[str]:
        served = environment(sqlite_url, KEY, RECEIVER_BIND=f"unix:{path}", **more)
        process = subprocess.Popen(WEB, env=served, cwd=ROOT, text=True)
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
