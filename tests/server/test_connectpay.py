"""ConnectPay, from a callback that nobody took at first to the payment's final status, between real servers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import others
import pytest
from conftest import KEY
from moving import MovingClock
from others import CONNECTPAY_ADDRESS, TOKEN
from servers import WebServer, environment

from receiver import runtime
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.simulator.connectpay import Config, Simulator
from receiver.simulator.connectpay.bank import RETRY_DELAYS, Payment, message
from receiver.simulator.outbox import Message, Sending
from receiver.simulator.scripts import Script
from receiver.store import events, feed, payments
from receiver.worker.loop import Worker

AS_FORWARDED = {"X-Forwarded-For": CONNECTPAY_ADDRESS}
"""The simulator speaks from loopback; the proxy there says for whom."""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What depends on the kind of database is tested in tests/web/test_claims_in_order.py and tests/store."""
    return sqlite_url


@pytest.fixture
def moving() -> MovingClock:
    return MovingClock()


@pytest.fixture
def parts(database_url: str, moving: MovingClock) -> Iterator[Runtime]:
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=database_url)
    started = runtime.start(settings, moving)
    yield started
    started.database.close()


@pytest.fixture
def web(database_url: str) -> Iterator[WebServer]:
    """The receiver behind a trusted proxy; not started yet."""
    made = WebServer(
        environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING", RECEIVER_TRUSTED_PROXIES="127.0.0.1/32")
    )
    yield made
    if made.process is not None:
        made.stop()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def bank(web: WebServer, waits: list[float]) -> Iterator[Simulator]:
    def wait(seconds: float) -> bool:
        if seconds in RETRY_DELAYS:
            waits.append(seconds)
            if len(waits) == 3:
                web.start()
        return False

    config = Config(token=TOKEN, callback_url=f"{web.url}/webhooks/connectpay", automatic=False)
    with Simulator(config, sleep=wait) as running:
        yield running


def book(bank: Simulator, status: str, order: str = "PO-1") -> Payment:
    script = Script.of((status, 0))
    payment = Payment(order, Decimal("100.00"), "EUR", "Outgoing", script, datetime.now(UTC))
    bank.bank.payments.put(order, payment)
    return payment


def tell(bank: Simulator, status: str) -> Any:
    payment = book(bank, status)
    event = payment.event(status)
    assert event is not None
    (record,) = bank.outbox.send(message(event, payment.ids(), bank.options.now), Sending(headers=AS_FORWARDED))
    return record


def payment(parts: Runtime) -> Any:
    catch_up(parts.database)
    with parts.database.read() as connection:
        return payments.find(connection, "connectpay", "payment", "PO-1")


def test_from_a_callback_that_is_retried_to_the_final_status(
    parts: Runtime, bank: Simulator, moving: MovingClock, waits: list[float]
) -> None:
    others.add(parts, "connectpay", TOKEN, base_url=bank.url)
    worker = Worker(parts)

    # Nobody listens: 5 s, 5 s and 30 s later the bank tries again, then the receiver is up.
    record = tell(bank, "PDNG")
    assert [attempt.status for attempt in record.attempts] == [None, None, None, 200]
    assert waits == [5, 5, 30]
    assert (record.attempts[-1].body, record.accepted, bank.outbox.active) == (b"OK", True, True)

    assert worker.run_once() == 1
    found = payment(parts)
    assert (found.status, found.bank_status, found.agreement) == ("pending", "PDNG", "unconfirmed")
    assert (found.due_at - moving()).total_seconds() > 290

    # Completed, says the callback, and the bank's own answer agrees.
    assert tell(bank, "ACSC").accepted
    moving.forward(1)  # Two questions a second are all that the bank takes.
    assert worker.run_once() == 1
    found = payment(parts)
    assert (found.status, found.bank_status, found.agreement, found.due_at) == ("completed", "ACSC", "confirmed", None)
    with parts.database.read() as connection:
        told = [(entry.type, entry.data.get("status")) for entry in feed.read(connection, after=0, limit=50).entries]
    assert told == [
        ("connectpay.outgoing_payment.processing", None),
        ("payment.status_changed", "pending"),
        ("connectpay.outgoing_payment.completed", None),
        ("payment.status_changed", "completed"),
    ]


def test_a_hundred_callbacks_of_unknown_types_in_a_row_are_answered_ok_and_none_is_lost(
    parts: Runtime, web: WebServer, bank: Simulator
) -> None:
    web.start()
    others.add(parts, "connectpay", TOKEN)
    for number in range(100):
        body = f'{{"eventType":"Novelty.Number{number}","paymentOrderNo":"PO-{number}"}}'
        (record,) = bank.outbox.send(Message(str(number), body), Sending(headers=AS_FORWARDED, delays=()))
        assert (record.status, record.attempts[-1].body) == (200, b"OK")
    assert bank.outbox.state() == {"active": True, "failed": 0, "missed": 0}
    with parts.database.read() as connection:
        found = events.listing(connection, events.Filter(types=["connectpay.unrecognised"]), below=None, limit=200)
    assert len({row.payload_sha256 for row in found}) == 100


def test_what_is_not_the_bank_s_is_refused_and_counts_as_failed_there(
    parts: Runtime, web: WebServer, bank: Simulator
) -> None:
    web.start()
    others.add(parts, "connectpay", TOKEN)
    told = message("OutgoingPayment.Completed", {"paymentOrderNo": "PO-1"}, bank.options.now)
    for sending in (
        Sending(variant="forged", headers=AS_FORWARDED),
        Sending(variant="no-token", headers=AS_FORWARDED),
        Sending(headers={"X-Forwarded-For": "203.0.113.9"}, delays=()),
        Sending(headers={"X-Forwarded-For": f"{CONNECTPAY_ADDRESS}, 203.0.113.9"}, delays=()),
    ):
        (record,) = bank.outbox.send(told, sending)
        assert (record.status, record.accepted) == (401, False)
    assert payment(parts) is None
