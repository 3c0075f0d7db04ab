"""The receiver as it runs in production: real gunicorn, real sockets, real TLS."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import requests
from bank import BankSigner, Signed, deposit
from certificates import new_certificate
from conftest import KEY, add_source, make_token
from servers import WebServer, environment

from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.store import deliveries
from receiver.store.deliveries import Listed

TOGETHER = 32


def post(server: WebServer, signed: Signed, verify: str | bool = True) -> requests.Response:
    return requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=30, verify=verify)


def test_identical_deliveries_at_once_are_one_event(server: WebServer, live: Runtime, live_bank: BankSigner) -> None:
    signed = live_bank.sign(deposit())
    with ThreadPoolExecutor(TOGETHER) as pool:
        answers = list(pool.map(lambda _: post(server, signed), range(TOGETHER)))
    assert [answer.status_code for answer in answers] == [200] * TOGETHER
    told = sorted(answer.json()["status"] for answer in answers)
    assert told == ["accepted"] + ["duplicate"] * (TOGETHER - 1)
    assert len({tuple(answer.json()["events"]) for answer in answers}) == 1
    headers = make_token(live)
    listed = requests.get(f"{server.url}/api/v1/events", headers=headers, timeout=60).json()["data"]
    assert [event["id"] for event in listed] == answers[0].json()["events"]


def test_the_same_event_in_different_deliveries_at_once_is_one_event(server: WebServer, live_bank: BankSigner) -> None:
    deliveries = [live_bank.sign(deposit()) for _ in range(TOGETHER)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        answers = list(pool.map(lambda signed: post(server, signed), deliveries))
    told = sorted(answer.json()["status"] for answer in answers)
    assert told == ["accepted"] + ["duplicate"] * (TOGETHER - 1)


def test_identical_late_deliveries_at_once_are_stored_once(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    late = live_bank.sign(deposit(), timestamp=str(int(time.time()) - 3600))
    with ThreadPoolExecutor(TOGETHER) as pool:
        answers = list(pool.map(lambda _: post(server, late), range(TOGETHER)))
    assert [answer.status_code for answer in answers] == [401] * TOGETHER
    with live.database.read() as connection:
        assert len(deliveries.listing(connection, Listed((Verdict.LATE,)), below=None, limit=10)) == 1
        assert deliveries.rejected(connection, None, below=None, limit=10) == []


def test_two_bodies_with_one_nonce_at_once_are_not_both_accepted(server: WebServer, live_bank: BankSigner) -> None:
    deliveries = [live_bank.sign(deposit(transactionId=f"FT{n}"), nonce="one") for n in range(TOGETHER)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        answers = list(pool.map(lambda signed: post(server, signed), deliveries))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * (TOGETHER - 1)


def test_a_burst_of_connections_is_shared_among_the_processes(server: WebServer) -> None:
    assert server.process is not None
    for _ in range(3):
        with ExitStack() as burst:
            for _ in range(TOGETHER):
                burst.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            time.sleep(0.5)
            shares = [
                sum(connection.status == psutil.CONN_ESTABLISHED for connection in process.net_connections())
                for process in psutil.Process(server.process.pid).children()
            ]
        assert sum(shares) == TOGETHER
        assert min(shares) >= TOGETHER // 8


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return new_certificate(tmp_path)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_callback_over_https_is_accepted(
    database_url: str, live: Runtime, live_bank: BankSigner, certificate: tuple[Path, Path]
) -> None:
    add_source(live)
    served = environment(
        database_url, KEY, RECEIVER_TLS_CERTIFICATE=str(certificate[0]), RECEIVER_TLS_KEY=str(certificate[1])
    )
    server = WebServer(served, scheme="https").start()
    try:
        answer = post(server, live_bank.sign(deposit()), verify=str(certificate[0]))
        assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    finally:
        server.stop()
