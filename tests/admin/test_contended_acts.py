"""What people do is tried anew where another writer is in the way, and does not fail at once."""

import ast
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import KEY, StandingClock, add_source
from reconcile.conftest import book
from servers import ROOT
from sqlalchemy import Connection, select

from receiver import runtime
from receiver.admin import bcb_from_environment
from receiver.admin import payments as acts
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.bcb import Config, Simulator
from receiver.store import payments, sources
from receiver.store.sources import SourceRecord
from receiver.store.sqlite import BUSY_SECONDS
from receiver.store.tables import Subject, table_of


@pytest.fixture
def row_locks() -> None:
    """They are waited for as long as in production."""


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """PostgreSQL alone: on SQLite a writer waits for its turn as a whole."""
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def simulator(clock: StandingClock) -> Iterator[Simulator]:
    with Simulator(Config(rate_limit=0), clock=clock) as running:
        yield running


def while_held(parts: Runtime, lock: Callable[[Connection], object], act: Callable[[], None]) -> None:
    """Do something while another writer has a row for longer than one lock is waited for."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with parts.database.write() as connection:
            lock(connection)
            held.set()
            let_go.wait(BUSY_SECONDS + 1)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        held.wait(60)
        act()
        let_go.set()
        holding.result()


def test_the_bank_is_asked_though_another_writer_had_the_payment_for_a_while(
    parts: Runtime, simulator: Simulator, clock: StandingClock
) -> None:
    add_source(parts, base_url=simulator.url)
    book(simulator, clock, ("Pending", 0))
    acts.check(parts, "cli:test", "bcb", "FT1")
    with parts.database.read() as connection:
        found = payments.find(connection, "bcb", "payment", "FT1")
    assert found is not None
    row = select(table_of(Subject).c.id).where(table_of(Subject).c.id == found.id).with_for_update()
    while_held(parts, lambda connection: connection.execute(row).one(), lambda: acts.check(parts, "x", "bcb", "FT1"))
    with parts.database.read() as connection:
        assert len(payments.checks_of(connection, found.id)) == 2


def test_the_environment_is_applied_though_another_writer_had_the_source_for_a_while(
    parts: Runtime, source: SourceRecord, database_url: str
) -> None:
    given: dict[str, Any] = {"bcb_client_id": "one", "bcb_client_secret": "two", "bcb_base_url": "https://bank.example"}
    started = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=database_url, **given), parts.clock)
    applied: list[bool] = []
    while_held(
        parts,
        lambda connection: sources.lock(connection, source.id),
        lambda: applied.append(bcb_from_environment.apply(started)),
    )
    assert applied == [True]
    started.database.close()


WITHIN = {
    "exceptions._handle": "its callers are tried anew",
    "consumers._give": "its callers are tried anew",
    "replays._act": "its callers are tried anew",
    "source_changes._clear": "its caller tries longer",
    "sessions._note_seen": "what can't be written down is left",
    "consumers.opened": "an app's own call, which gets 503",
    "consumers.acknowledge": "the same",
}
"""Functions that write and are not decorated, and why they need not be."""


def test_every_transaction_of_a_person_s_act_is_tried_anew() -> None:
    plain = set()
    for file in (ROOT / "receiver" / "admin").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and "database.write()" in ast.unparse(node):
                is_retried = any(ast.unparse(each) == "retried" for each in node.decorator_list)
                plain |= set() if is_retried else {f"{file.stem}.{node.name}"}
    assert plain == set(WITHIN)
