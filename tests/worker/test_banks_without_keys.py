"""Banks that publish no keys, have no tokens, or have no API at all cost nothing of what they do not have."""

import others
import pytest
from answering import answering
from conftest import StandingClock
from flask.testing import FlaskClient
from others import TOKEN, outgoing
from web.connectpay import send

from receiver.runtime import Runtime
from receiver.store import payments
from receiver.worker.loop import Worker


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


def test_no_key_is_asked_for_where_there_are_none(parts: Runtime, clock: StandingClock) -> None:
    with answering() as api:
        others.add(parts, "connectpay", TOKEN, base_url=api.url)
        others.add(parts, "banqup", TOKEN, base_url=api.url, token_in="path")
        others.add(parts, "standard_webhooks", others.WHSEC)
        for _ in range(3):
            assert Worker(parts).run_once() == 0
            clock.forward(3600)
    assert api.asked == []


def test_connectpay_is_asked_once_at_a_claim_and_not_again_for_five_minutes(
    parts: Runtime, client: FlaskClient, clock: StandingClock
) -> None:
    with answering() as api:
        api.answer = {"transactionStatus": "PDNG"}
        others.add(parts, "connectpay", TOKEN, base_url=api.url)
        send(client, outgoing())
        worker = Worker(parts)
        asked = []
        for _ in range(12):
            worker.run_once()
            asked.append(len(api.asked))
            clock.forward(30)
    # 12 rounds cover five and a half minutes; a first pause is 5 to 5.5 minutes long.
    assert asked[:10] == [1] * 10
    assert {path for _, path, _ in api.asked} == {"/ob/payments/PO-1/status"}


def test_no_more_than_two_requests_a_second_go_to_connectpay(
    parts: Runtime, client: FlaskClient, clock: StandingClock
) -> None:
    with answering() as api:
        api.answer = {"paymentStatus": "ACSC"}
        others.add(parts, "connectpay", TOKEN, base_url=api.url)
        for number in range(6):
            send(client, outgoing(order=f"PO-{number}"))
        worker = Worker(parts)
        counts = []
        for _ in range(6):
            worker.run_once()
            counts.append(len(api.asked))
            clock.forward(0.5)
    assert counts == [1, 2, 3, 4, 5, 6]
    with parts.database.read() as connection:
        found = payments.listing(connection, "payment", limit=10)
    assert {row.status for row in found} == {"completed"}
