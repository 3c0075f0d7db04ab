"""A callback whose end the server has not waited for: the bank is told to send it again, not that it was wrong."""

import socket
from collections.abc import Iterator

import pytest
from bank import BankSigner, deposit
from conftest import KEY, add_source
from servers import WebServer, environment

from receiver.runtime import Runtime

IMPATIENT = {"GUNICORN_CMD_ARGS": "--timeout 3 --graceful-timeout 6", "RECEIVER_LOG_LEVEL": "WARNING"}
"""Reads for three seconds, and at a stop gives up what is not here a second later."""


@pytest.fixture
def impatient(database_url: str, live: Runtime) -> Iterator[WebServer]:
    add_source(live)
    started = WebServer(environment(database_url, KEY, **IMPATIENT)).start()
    yield started
    started.stop()


def half(server: WebServer, bank: BankSigner, *, chunked: bool) -> socket.socket:
    """Send the first half of a genuine callback, and stay."""
    signed = bank.sign(deposit())
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(signed.body)}"
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    head = f"POST {signed.path} HTTP/1.1\r\nHost: localhost\r\n{headers}{framing}\r\n\r\n".encode()
    size = f"{len(signed.body):x}\r\n".encode() if chunked else b""
    sender = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    sender.sendall(head + size + signed.body[: len(signed.body) // 2])
    return sender


def answer(sender: socket.socket) -> bytes:
    with sender:
        return b"".join(iter(lambda: sender.recv(65536), b""))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("chunked", [False, True])
def test_who_takes_too_long_is_to_send_again(impatient: WebServer, live_bank: BankSigner, chunked: bool) -> None:
    told = answer(half(impatient, live_bank, chunked=chunked))
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: " in told


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_is_cut_off_by_a_stop_is_to_send_again(live: Runtime, live_bank: BankSigner) -> None:
    add_source(live)
    patient = {**IMPATIENT, "GUNICORN_CMD_ARGS": "--timeout 40 --graceful-timeout 6"}
    server = WebServer(environment(live.settings.database_url, KEY, **patient)).start()
    sender = half(server, live_bank, chunked=False)
    assert server.stop() == 0
    told = answer(sender)
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: " in told
