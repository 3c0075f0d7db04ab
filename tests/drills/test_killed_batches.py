"""A batch of 1,000 notifications is one transaction: kill -9 in its middle leaves all of it or nothing."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from bank import Signed
from conftest import add_encrypting_source
from drills.ledger import assert_whole
from encrypting_bank import EncryptingBank, notification, payment
from servers import WebServer
from sqlalchemy import make_url, select, text

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store.tables import Delivery, Event, OutboxEntry, Subject, table_of

_deliveries, _events, _outbox, _subjects = (table_of(model) for model in (Delivery, Event, OutboxEntry, Subject))

KNOWN = "banking_circle.incoming_payment_processed"
UNKNOWN = "banking_circle.unrecognised"

PADDING = 3_000
"""So that SQLite writes to its log in the middle of the transaction: the batch is larger than its memory for pages."""


def notifications(first: int, last: int, kind: str = "IncomingPaymentProcessed") -> list[dict[str, object]]:
    return [
        notification(kind, f"event-{number}", payment=payment(f"payment-{number}", extra="x" * PADDING))
        for number in range(first, last)
    ]


def post(server: WebServer, signed: Signed) -> requests.Response:
    return requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60)


def stored(parts: Runtime) -> dict[str, int]:
    """How many rows there are of all that one delivery writes."""
    catch_up(parts.database)
    with parts.database.read() as connection:
        types = Counter(connection.execute(select(_events.c.type)).scalars())
        told = connection.execute(text("SELECT count(*) FROM feed_entries")).scalar_one()
        due = connection.execute(text("SELECT count(*) FROM subjects")).scalar_one()
        verdicts = Counter(connection.execute(select(_deliveries.c.verdict)).scalars())
    return {**types, "told": told, "due": due, "deliveries": sum(verdicts.values())}


AFTER_FIRST = {KNOWN: 300, "told": 300, "due": 300, "deliveries": 1}
AFTER_BOTH = {KNOWN: 995, UNKNOWN: 5, "told": 1000, "due": 1000, "deliveries": 2}


def second_batch() -> Signed:
    """300 that were seen, 695 that are new, 5 of a type that nobody knows."""
    return EncryptingBank().sign(notifications(0, 995) + notifications(995, 1000, "SomethingNew"))


def test_a_batch_of_1000_tells_what_is_new_in_it_and_keeps_what_is_not_known(server: WebServer, live: Runtime) -> None:
    add_encrypting_source(live)
    first = post(server, EncryptingBank().sign(notifications(0, 300))).json()
    assert stored(live) == AFTER_FIRST
    second = post(server, second_batch()).json()
    assert (first["status"], second["status"]) == ("accepted", "accepted")
    assert second["events"][:300] == first["events"]
    assert len(set(second["events"])) == 1000
    assert stored(live) == AFTER_BOTH


@contextmanager
def stuck_half_way(parts: Runtime) -> Iterator[None]:
    """Hold up every writer of events: a batch has its delivery and events written, and gets no further."""
    with parts.database.engine.connect() as connection, connection.begin():
        connection.execute(text("LOCK TABLE pending_events IN ACCESS EXCLUSIVE MODE"))
        yield


def wait_until_stuck(parts: Runtime) -> None:
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        with parts.database.read() as connection:
            if connection.execute(query).scalar_one():
                return
        time.sleep(0.02)
    raise AssertionError("no writer was held up")


def wait_for_log(parts: Runtime, more_than: int, gone: threading.Event) -> None:
    """Wait until SQLite's log has grown: pages of a transaction that is not committed yet are written there."""
    log = Path(f"{make_url(parts.database.url).database}-wal")
    before = log.stat().st_size if log.exists() else 0
    while not gone.is_set() and (log.stat().st_size if log.exists() else 0) - before < more_than:
        time.sleep(0.001)


def kill_amid(server: WebServer, parts: Runtime, signed: Signed, log_bytes: int) -> bool:
    """Send a batch, kill the server in the middle of writing it, start it again; return whether it was answered."""
    gone = threading.Event()

    def deliver() -> bool:
        try:
            return post(server, signed).ok
        except requests.RequestException:
            return False
        finally:
            gone.set()

    with ThreadPoolExecutor(1) as pool:
        if parts.database.is_sqlite:
            answer = pool.submit(deliver)
            wait_for_log(parts, log_bytes, gone)
            server.kill()
        else:
            with stuck_half_way(parts):
                answer = pool.submit(deliver)
                wait_until_stuck(parts)
                server.kill()
        answered = answer.result()
    parts.database.close()
    server.start()
    return answered


def drill(server: WebServer, parts: Runtime, *, kills: int) -> None:
    add_encrypting_source(parts)
    post(server, EncryptingBank().sign(notifications(0, 300)))
    signed = second_batch()
    nothing = 0
    for number in range(kills):
        answered = kill_amid(server, parts, signed, log_bytes=(1 + number % 4) * 1024 * 1024)
        found = stored(parts)
        assert found in (AFTER_FIRST, AFTER_BOTH)
        assert found == AFTER_BOTH or not answered
        nothing += found == AFTER_FIRST
    again = post(server, signed)
    assert again.status_code == 200
    assert stored(parts) == AFTER_BOTH
    assert_whole(parts)
    print(f"{parts.database.engine.dialect.name}: {kills} kills, {nothing} times nothing was kept, then all of it")
    if not parts.database.is_sqlite:
        assert nothing == kills


def test_killed_half_way_a_batch_is_kept_whole_or_not_at_all(server: WebServer, live: Runtime) -> None:
    drill(server, live, kills=1)


@pytest.mark.drill
def test_killed_again_and_again_a_batch_is_kept_whole_or_not_at_all(server: WebServer, live: Runtime) -> None:
    drill(server, live, kills=8)
