"""Senders of one byte a second: genuine callbacks are answered beside them, and the slow ones do not stay for ever."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from bank import BankSigner, deposit
from certificates import new_certificate
from drills.slow import dawdling
from servers import WebServer

ANSWER_SECONDS = 10
"""What a bank waits. Nothing is measured by it: what is asked is that slow senders hold nobody up."""
SHORT_SECONDS, LONG_SECONDS = 8, 40
"""Gunicorn's time-out: in the short form, so that it is short, and as it is."""
CUT_SECONDS = 100


@pytest.fixture
def serving(server: WebServer, tmp_path: Path) -> Iterator[Callable[[bool, int], WebServer]]:
    """Serve the same database with a time-out, with TLS or without."""
    server.stop()
    started: list[WebServer] = []

    def serve(secured: bool, timeout: int) -> WebServer:
        more = {"GUNICORN_CMD_ARGS": f"--timeout {timeout}"}
        if secured:
            certificate, key = new_certificate(tmp_path)
            more |= {"RECEIVER_TLS_CERTIFICATE": str(certificate), "RECEIVER_TLS_KEY": str(key)}
        started.append(WebServer({**server.environment, **more}, scheme="https" if secured else "http").start())
        return started[-1]

    yield serve
    for each in started:
        each.stop()


def drill(server: WebServer, bank: BankSigner, ca: Path, *, forms: list[str], slow: int, callbacks: int) -> None:
    """Send callbacks while others are slow, each over a new connection, then wait for the slow ones' end."""
    seconds = []
    with dawdling(server.port, forms, slow) as senders:
        for number in range(callbacks):
            if senders.ended:
                # From here on there would be fewer than there should be.
                break
            signed = bank.sign(deposit(transactionId=f"FT{number}"))
            started = time.monotonic()
            answer = requests.post(
                server.url + signed.path,
                data=signed.body,
                headers=signed.headers,
                timeout=ANSWER_SECONDS,
                verify=str(ca),
            )
            seconds.append(time.monotonic() - started)
            assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
            ends = time.monotonic() + CUT_SECONDS
        while senders.ended != senders.opened:
            assert time.monotonic() < ends, f"{senders.ended} of {senders.opened} were cut"
            time.sleep(0.1)
    p99 = sorted(seconds)[len(seconds) * 99 // 100]
    print(
        f"{', '.join(forms)}: {len(seconds)} callbacks beside {slow} slow senders: "
        f"p99 {p99 * 1000:.0f} ms, at most {max(seconds) * 1000:.0f} ms; all {slow} were cut"
    )


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("forms", [["head", "body"], ["handshake"]])
def test_callbacks_are_answered_beside_200_senders_of_a_byte_a_second(
    serving: Callable[[bool, int], WebServer], live_bank: BankSigner, tmp_path: Path, forms: list[str]
) -> None:
    server = serving("handshake" in forms, SHORT_SECONDS)
    drill(server, live_bank, tmp_path / "certificate.pem", forms=forms, slow=200, callbacks=40)


@pytest.mark.drill
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("forms", [["head", "body"], ["handshake"]])
def test_callbacks_are_answered_beside_1000_senders_of_a_byte_a_second(
    serving: Callable[[bool, int], WebServer], live_bank: BankSigner, tmp_path: Path, forms: list[str]
) -> None:
    server = serving("handshake" in forms, LONG_SECONDS)
    drill(server, live_bank, tmp_path / "certificate.pem", forms=forms, slow=1000, callbacks=500)
