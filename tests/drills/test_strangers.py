"""Whoever has proven nothing costs next to nothing: genuine callbacks are answered beside every attack.

Each attack comes from an address of its own over raw sockets, against a real gunicorn with two processes. While it goes
on a callback is sent every 100 ms over a new connection.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, _execute, _sqlalchemy_url, add_encrypting_source, add_source, make_token
from servers import WebServer, environment

from receiver import runtime
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import outbox, schema
from receiver.store.outbox import NewEntry

EVERY_SECONDS = 0.1
SHORT, LONG = 10, 200
"""Callbacks beside an attack."""

ANSWER_SECONDS = 30
"""Nothing is measured by it in the short form: what is asked is that each is answered 2xx."""

P99_SECONDS = 0.25
MEMORY_BYTES = 100 * 1000 * 1000

ATTACKS = [
    "pipelined requests",
    "gzip bombs",
    "readiness",
    "slow large bodies",
    "large bodies to nobody",
    "large bodies without a signature",
    "large bodies in shape",
    "a body without end",
    "chunks of one byte",
    "half a head",
    "pages of the feed",
    "waiting readers",
]
OF_THE_STORE = ["readiness", "pages of the feed", "waiting readers"]
"""Those that are about the database, which the short form therefore tries on both."""

STRANGERS = Path(__file__).parent / "strangers.py"


@dataclass
class Besieged:
    """A server, its database, and a token that a stranger has."""

    server: WebServer
    parts: Runtime
    token: str

    def processes(self) -> list[psutil.Process]:
        assert self.server.process is not None
        parent = psutil.Process(self.server.process.pid)
        return [parent, *parent.children(recursive=True)]

    def memory(self) -> int:
        return sum(process.memory_info().rss for process in self.processes())


@pytest.fixture(scope="module")
def besieged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    """One server for all attacks on one kind of database, with a feed of 1,500 entries."""
    folder = tmp_path_factory.mktemp("besieged")
    if request.param == "postgresql":
        postgres, name = request.getfixturevalue("postgres"), f"besieged_{os.getpid()}"
        _execute(postgres, f"CREATE DATABASE {name}")
        yield from serve(_sqlalchemy_url(postgres, name))
        _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")
    else:
        yield from serve(f"sqlite:///{folder}/receiver.db")


def serve(url: str) -> Iterator[Besieged]:
    parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
    schema.upgrade(parts.database, parts.encryption)
    source = add_source(parts)
    add_encrypting_source(parts)
    with parts.database.write() as connection:
        data = {"amount": "1000.00", "currency": "USD", "account": "1046406142", "reference": "x" * 100}
        entries = [NewEntry("bcb.deposit", source.id, f"FT{n}", None, data, parts.clock()) for n in range(1500)]
        outbox.append_all(connection, entries)
    catch_up(parts.database)
    token = make_token(parts, "feed:read")["Authorization"].removeprefix("Bearer ")
    server = WebServer(environment(url, KEY, RECEIVER_LOG_LEVEL="ERROR", RECEIVER_PROCESSES="2")).start()
    try:
        yield Besieged(server, parts, token)
    finally:
        # At a stop it would wait for the readers that were let wait.
        server.kill()
        parts.database.close()


def withstand(besieged: Besieged, bank: BankSigner, attack: str, callbacks: int) -> float:
    """Send callbacks beside an attack, all of which must be answered 2xx; return the 99th percentile in seconds."""
    send(besieged, bank)
    before, at_rest = {process.pid for process in besieged.processes()}, besieged.memory()
    command = [sys.executable, str(STRANGERS), attack, str(besieged.server.port), besieged.token]
    seconds, memory = [], []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as strangers:
        assert strangers.stdout is not None
        assert strangers.stdout.readline() == "under way\n"
        due = time.monotonic()
        for _ in range(callbacks):
            time.sleep(max(0.0, due - time.monotonic()))
            due += EVERY_SECONDS
            seconds.append(send(besieged, bank))
            memory.append(besieged.memory())
        said, _ = strangers.communicate("end\n")
    counts = json.loads(said)
    p99 = sorted(seconds)[len(seconds) * 99 // 100]
    rise = max(memory) - at_rest
    print(
        f"{attack}: {len(seconds)} callbacks, p99 {p99 * 1000:.0f} ms, at most {max(seconds) * 1000:.0f} ms; "
        f"memory +{max(0, rise) / 1e6:.0f} MB; {counts}"
    )
    assert counts["pieces"] > 0
    assert {process.pid for process in besieged.processes()} == before
    assert rise < MEMORY_BYTES
    return p99


def send(besieged: Besieged, bank: BankSigner) -> float:
    """Send one callback over a new connection; return how long that took."""
    signed = bank.sign(deposit())
    began = time.monotonic()
    answer = requests.post(
        besieged.server.url + signed.path, data=signed.body, headers=signed.headers, timeout=ANSWER_SECONDS
    )
    assert answer.status_code == 200, answer.text
    return time.monotonic() - began


CASES = [*(("sqlite", attack) for attack in ATTACKS), *(("postgresql", attack) for attack in OF_THE_STORE)]


@pytest.mark.parametrize(("besieged", "attack"), CASES, indirect=["besieged"])
def test_callbacks_are_answered_while_strangers(besieged: Besieged, live_bank: BankSigner, attack: str) -> None:
    withstand(besieged, live_bank, attack, SHORT)


@pytest.mark.drill
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("besieged", ["sqlite", "postgresql"], indirect=True)
def test_callbacks_are_answered_in_time_while_strangers(besieged: Besieged, live_bank: BankSigner, attack: str) -> None:
    assert withstand(besieged, live_bank, attack, LONG) < P99_SECONDS
