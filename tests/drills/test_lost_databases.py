"""A PostgreSQL that goes away: banks are asked to come back, and all goes on by itself once it is back."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, make_token
from drills.ledger import assert_each_once, read_feed
from drills.postgres import OwnPostgres
from drills.senders import Senders, assert_asks_to_come_back
from servers import WebServer, environment

from receiver.runtime import Runtime

BANK_WAITS_SECONDS = 10


def drill(
    postgres: OwnPostgres, server: WebServer, parts: Runtime, bank: BankSigner, *, callbacks: int, modes: list[str]
) -> None:
    """Stop the database amid callbacks, once for each mode (`kill` is -9), look at the answers, and start it again."""
    token = make_token(parts)
    with Senders(server.url, bank, range(callbacks), threads=4) as senders:
        for turn, mode in enumerate(modes, start=1):
            senders.wait_for(callbacks * turn // (len(modes) + 1))
            if mode == "kill":
                postgres.kill()
            else:
                postgres.stop(mode)
            try:
                assert_says_that_it_is_away(server, bank, token)
            finally:
                postgres.start()
            assert_is_back(server)
        results = senders.results()
    # The web server is there all the while: during an outage there is an answer, and it is 503.
    assert senders.unanswered == 0
    assert senders.refusals.keys() == {503}
    parts.database.close()
    assert_each_once(parts, results, read_feed(server.url, token))
    print(
        f"{len(modes)} outages ({', '.join(modes)}) under {server.processes} processes: {len(results)} answered 2xx "
        f"and there once, {senders.refusals[503]} answers of 503, {senders.unanswered} without an answer"
    )


def assert_says_that_it_is_away(server: WebServer, bank: BankSigner, token: dict[str, str]) -> None:
    signed = bank.sign(deposit(transactionId="refused"))
    assert_asks_to_come_back(
        requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=30)
    )
    for path in ("/readyz", "/api/v1/feed", "/api/v1/events"):
        assert_asks_to_come_back(requests.get(server.url + path, headers=token, timeout=30))
    assert requests.get(f"{server.url}/healthz", timeout=10).status_code == 200


def assert_is_back(server: WebServer) -> None:
    ends = time.monotonic() + 60
    while requests.get(f"{server.url}/readyz", timeout=30).status_code != 200:
        assert time.monotonic() < ends, "the server did not find its database again"
        time.sleep(0.1)


def test_a_database_that_crashes_amid_callbacks_is_waited_out(
    own_postgres: OwnPostgres, own_server: WebServer, own_parts: Runtime, live_bank: BankSigner
) -> None:
    drill(own_postgres, own_server, own_parts, live_bank, callbacks=150, modes=["kill"])


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_a_database_that_goes_away_time_and_again_is_waited_out(
    own_postgres: OwnPostgres, own_server: WebServer, own_parts: Runtime, live_bank: BankSigner
) -> None:
    drill(own_postgres, own_server, own_parts, live_bank, callbacks=2000, modes=["kill"] * 5 + ["immediate", "fast"])


def hang(postgres: OwnPostgres, server: WebServer, bank: BankSigner, *, turns: int) -> None:
    """Have the database answer nothing, look at what banks are answered meanwhile, and let it go on."""
    for _ in range(turns):
        assert statuses(server, bank, 8) == [200] * 8
        postgres.hang()
        try:
            # First on connections that were open, then on new ones.
            assert [statuses(server, bank, 8) for _ in range(2)] == [[503] * 8] * 2
            assert requests.get(f"{server.url}/healthz", timeout=BANK_WAITS_SECONDS).status_code == 200
        finally:
            postgres.go_on()
        assert_is_back(server)
        assert statuses(server, bank, 8) == [200] * 8


def statuses(server: WebServer, bank: BankSigner, number: int) -> list[int]:
    """What a bank is answered to callbacks that it sends together, hanging up as banks do."""

    def send(_: int) -> int:
        signed = bank.sign(deposit(transactionId=str(uuid.uuid4())))
        return requests.post(
            server.url + signed.path, data=signed.body, headers=signed.headers, timeout=BANK_WAITS_SECONDS
        ).status_code

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(send, range(number)))


def test_a_database_that_hangs_is_given_up_while_banks_still_wait(
    own_postgres: OwnPostgres, own_server: WebServer, live_bank: BankSigner
) -> None:
    hang(own_postgres, own_server, live_bank, turns=1)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_a_database_that_hangs_time_and_again_is_given_up_each_time(
    own_postgres: OwnPostgres, own_server: WebServer, live_bank: BankSigner
) -> None:
    hang(own_postgres, own_server, live_bank, turns=6)


def test_a_server_that_starts_before_its_database_finds_it_later(
    own_postgres: OwnPostgres, own_parts: Runtime, live_bank: BankSigner
) -> None:
    token = make_token(own_parts)
    own_postgres.stop("fast")
    server = WebServer(
        environment(own_parts.settings.database_url, KEY, RECEIVER_LOG_LEVEL="ERROR", RECEIVER_PROCESSES="2")
    ).start()
    try:
        assert_says_that_it_is_away(server, live_bank, token)
        own_postgres.start()
        assert_is_back(server)
        with Senders(server.url, live_bank, range(3)) as senders:
            results = senders.results()
        own_parts.database.close()
        assert_each_once(own_parts, results, read_feed(server.url, token))
    finally:
        server.stop()
