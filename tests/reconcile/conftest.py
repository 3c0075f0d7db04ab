"""A simulated bank that keeps the test's own time, and a worker that asks it."""

import base64
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, add_source, app_over
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from flask.testing import FlaskClient

from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.scripts import Script
from receiver.store.sources import SourceRecord
from receiver.worker.loop import Worker


@pytest.fixture
def simulator(clock: StandingClock) -> Iterator[Simulator]:
    with Simulator(Config(rate_limit=0), clock=clock) as running:
        yield running


@pytest.fixture
def source(parts: Runtime, simulator: Simulator) -> SourceRecord:
    """The source `bcb`, whose bank is the simulator."""
    return add_source(parts, base_url=simulator.url)


@pytest.fixture
def worker(parts: Runtime, source: SourceRecord) -> Worker:  # noqa: ARG001 - there must be something to work on
    return Worker(parts)


def book(simulator: Simulator, clock: StandingClock, *steps: tuple[str, float], payment_id: str = "FT1") -> None:
    """Let the bank know a payment, whose status follows the steps from now on."""
    payment = Payment(payment_id, "1046406142", Decimal("1000.00"), "USD", Script.of(*steps), clock())
    simulator.bank.add_payment(payment)


def tell(parts: Runtime, body: dict[str, Any]) -> dict[str, Any]:
    """Let the bank send a callback."""
    client: FlaskClient = app_over(parts).test_client()
    signed = BankSigner(parts.clock).sign(body)
    answer = client.post(signed.path, data=signed.body, headers=signed.headers)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json or {}
    return told


def tell_deposit(parts: Runtime, payment_id: str = "FT1") -> dict[str, Any]:
    """Let the bank tell of a deposit."""
    return tell(parts, deposit(transactionId=payment_id))


def tell_by_rsa(parts: Runtime, simulator: Simulator, payment_id: str) -> int:
    """Let the bank tell of a deposit, signed with its own key; return the status that it is answered."""
    signed = BankSigner(parts.clock).sign(deposit(transactionId=payment_id))
    text = f"{signed.headers['Bcb-Timestamp']}{signed.headers['Bcb-Nonce']}POST{signed.path}".encode() + signed.body
    made = simulator.bank.keys.current().private_key.sign(text, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    headers = {
        **signed.headers,
        "Bcb-Signature": base64.b64encode(made).decode(),
        "Bcb-Signature-Version": "rsa-v1",
    }
    return app_over(parts).test_client().post(signed.path, data=signed.body, headers=headers).status_code
