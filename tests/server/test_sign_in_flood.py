"""A flood of sign-ins beside callbacks: every callback is taken, and the flood is held to its share."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, add_source
from servers import WebServer, environment

from receiver.admin import people
from receiver.model import Role
from receiver.runtime import Runtime

CALLBACKS = 60
AT_ONCE = 8


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """SQLite has the one write lock that failures and callbacks share."""
    return sqlite_url


@pytest.fixture
def server(database_url: str, live: Runtime) -> Iterator[WebServer]:
    """Gunicorn behind a proxy on loopback, which names the senders: each sign-in can be another's."""
    add_source(live)
    people.add(live, "cli:test", "ann", Role.ADMIN, password="quite a long password")
    given = {"RECEIVER_LOG_LEVEL": "ERROR", "RECEIVER_TRUSTED_PROXIES": "127.0.0.1"}
    started = WebServer(environment(database_url, KEY, **given)).start()
    yield started
    started.stop()


def flood(server: WebServer, number: int, is_over: Event) -> Counter[int]:
    """Sign in with wrong passwords, each time from another address, until it is over."""
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        page = session.get(f"{server.url}/staff/sign-in", headers=sender(number, 0), timeout=30)
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token is not None
        # `requests` would not send a Secure cookie over the plain connection to the server behind the proxy.
        cookie = page.headers["Set-Cookie"].partition(";")[0]
        while not is_over.is_set():
            count = statuses.total()
            data = {"name": f"name{count}" if count % 2 else "ann", "password": "wrong", "form_token": token[1]}
            headers = {**sender(number, count + 1), "Cookie": cookie}
            answer = session.post(
                f"{server.url}/staff/sign-in", data=data, headers=headers, timeout=30, allow_redirects=False
            )
            statuses[answer.status_code] += 1
    return statuses


def sender(number: int, count: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"198.{number}.{count // 250}.{count % 250}", "X-Forwarded-Proto": "https"}


def test_callbacks_are_taken_during_a_flood_of_sign_ins(server: WebServer, live_bank: BankSigner) -> None:
    is_over = Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        floods = [pool.submit(flood, server, number, is_over) for number in range(AT_ONCE)]
        try:
            for number in range(CALLBACKS):
                signed = live_bank.sign(deposit(transactionId=f"FT{number}"))
                answer = requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=10)
                assert answer.status_code == 200, answer.text
        finally:
            is_over.set()
    statuses = sum((each.result() for each in floods), Counter[int]())
    assert set(statuses) == {401, 429}
