"""A fail-over: the database's address leads to a hot standby for a while, then to a primary; nothing is restarted."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests
from bank import BankSigner
from conftest import KEY, add_source, make_token
from drills.ledger import assert_each_once, read_feed
from drills.postgres import OwnPostgres
from drills.senders import Senders
from drills.standby import Address, folder_of, standby_of, wait_until_caught_up
from servers import RECEIVER, WebServer, environment

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema, workers

BACK_SECONDS = 10
"""Within this callbacks go on, once there is a primary at the address."""


@dataclass
class Receiver:
    """A web server with two processes and a worker, which reach their database by the address."""

    parts: Runtime
    web: WebServer
    worker: psutil.Process

    def processes(self) -> set[int]:
        """All that run, by number."""
        assert self.web.process is not None
        children = psutil.Process(self.web.process.pid).children()
        return {process.pid for process in (*children, self.worker) if process.status() != psutil.STATUS_ZOMBIE}


@pytest.fixture
def address(own_postgres: OwnPostgres) -> Iterator[Address]:
    opened = Address(folder_of(own_postgres))
    yield opened
    opened.close()


@pytest.fixture
def receiver(address: Address) -> Iterator[Receiver]:
    parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=address.url))
    schema.upgrade(parts.database, parts.encryption)
    add_source(parts)
    served = environment(address.url, KEY, RECEIVER_LOG_LEVEL="ERROR", RECEIVER_PROCESSES="2")
    web = WebServer(served).start()
    worker = subprocess.Popen([*RECEIVER, "worker"], env=served)
    wait_until_at_work(parts)
    yield Receiver(parts, web, psutil.Process(worker.pid))
    worker.terminate()
    worker.wait(40)
    web.stop()
    parts.database.close()


def wait_until_at_work(parts: Runtime) -> None:
    """Wait until the worker has begun: one that finds no database when it starts ends at once, and says so."""
    ends = time.monotonic() + 120
    while True:
        with parts.database.read() as connection:
            if workers.last_seen(connection) is not None:
                return
        assert time.monotonic() < ends
        time.sleep(0.05)


class Drill:
    """Points the address elsewhere amid callbacks, and notes how long these take to go on."""

    def __init__(self, receiver: Receiver, address: Address, senders: Senders) -> None:
        self._web, self._address, self._senders = receiver.web, address, senders
        self._token = make_token(receiver.parts)
        self.longest = 0.0

    def away(self, standby: Path, seconds: float, *, cut: bool) -> None:
        """Have the address lead to a standby for so long; with `cut`, old connections end, and callbacks are refused.

        Where they do not end they still lead to the primary, as where a name was changed.
        """
        refused, ends = self._senders.refusals[503], time.monotonic() + seconds
        self._address.point_at(standby, cut=cut)
        while time.monotonic() < ends or (cut and self._senders.refusals[503] == refused):
            answer = requests.get(f"{self._web.url}/api/v1/feed", headers=self._token, timeout=30)
            assert answer.status_code in (200, 503), answer.text
            assert time.monotonic() < ends + 60, "no callback was refused while the standby was there"

    def back(self, primary: Path) -> None:
        """Have the address lead to a primary."""
        self._address.point_at(primary, cut=False)
        started, answered = time.monotonic(), self._senders.answered
        self._senders.wait_for(answered + 1)
        self.longest = max(self.longest, time.monotonic() - started)


def fail_over(
    postgres: OwnPostgres, address: Address, receiver: Receiver, bank: BankSigner, *, turns: int, promotions: int
) -> None:
    """Point at the standby and back, `turns` times; then promote the standby, then one that was made of that."""
    before, primary = receiver.processes(), address.target
    # So many that they do not run out; those that are not sent by then are left out.
    senders = Senders(receiver.web.url, bank, range(20_000), threads=4)
    with ExitStack() as servers, senders:
        user = postgres.server.system_user
        standby = servers.enter_context(standby_of(primary, user))
        drill = Drill(receiver, address, senders)
        for turn in range(turns):
            senders.wait_for(senders.answered + 20)
            drill.away(standby.folder, 1 + turn % 3, cut=turn % 2 == 0)
            drill.back(primary)
        stop: Callable[[], None] = partial(postgres.stop, "fast")
        for _ in range(promotions):
            senders.wait_for(senders.answered + 20)
            drill.away(standby.folder, 1, cut=True)
            # It ends once it has sent all that it has committed.
            wait_until_caught_up(primary, standby.folder)
            stop()
            standby.promote()
            drill.back(standby.folder)
            primary, stop = standby.folder, standby.stop
            standby = servers.enter_context(standby_of(primary, user))
        results = senders.stop()
        parts, token = receiver.parts, make_token(receiver.parts, name="reader")
        assert_each_once(parts, results, read_feed(receiver.web.url, token))
    assert receiver.processes() == before
    assert senders.unanswered == 0
    assert senders.refusals.keys() == {503}
    assert drill.longest < BACK_SECONDS
    print(
        f"{turns} times to a standby and back, {promotions} promotions: {len(results)} callbacks answered 2xx and "
        f"there once, {senders.refusals[503]} answers of 503, on again after {drill.longest:.1f} s at most"
    )


def test_callbacks_go_on_after_a_standby_stood_at_the_address(
    own_postgres: OwnPostgres, address: Address, receiver: Receiver, live_bank: BankSigner
) -> None:
    fail_over(own_postgres, address, receiver, live_bank, turns=1, promotions=0)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_callbacks_go_on_after_standbys_were_promoted_time_and_again(
    own_postgres: OwnPostgres, address: Address, receiver: Receiver, live_bank: BankSigner
) -> None:
    fail_over(own_postgres, address, receiver, live_bank, turns=6, promotions=2)
