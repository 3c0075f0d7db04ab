"""ConnectPay's callbacks: what passes, what is answered, what is kept, and whose word counts."""

from typing import Any

import others
import pytest
from conftest import StandingClock
from flask.testing import FlaskClient
from others import OLD_TOKEN, TOKEN, outgoing
from web.connectpay import assert_ok, send
from web.rows import rows

from receiver.banks.connectpay.options import ADDRESSES
from receiver.inbox import reverify
from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.store import deliveries
from receiver.store.sources import SourceRecord
from receiver.store.tables import Delivery, Event, FeedEntry, Subject

BODY = outgoing()


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture
def source(parts: Runtime) -> SourceRecord:
    return others.add(parts, "connectpay", TOKEN)


pytestmark = pytest.mark.usefixtures("source")


def test_a_genuine_callback_is_answered_ok_and_nothing_else(client: FlaskClient, parts: Runtime) -> None:
    assert_ok(send(client, BODY))
    (event,) = rows(parts, Event)
    assert (event.type, event.payment_id, event.claimed_status) == (
        "connectpay.outgoing_payment.completed",
        "PO-1",
        "completed",
    )
    assert (event.proof, event.proof_key, event.amount, event.currency) == ("token", "secret:1", "12.5", "EUR")


def test_the_same_again_and_other_content_are_answered_ok_too(client: FlaskClient, parts: Runtime) -> None:
    for body in (BODY, BODY, {**BODY, "remark": "other"}):
        assert_ok(send(client, body))
    (event,) = rows(parts, Event)
    assert event.conflict
    assert len(rows(parts, Delivery)) == 3


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"eventType": "Something.New"}', b'{"type": 7}', b"\xff"])
def test_what_is_not_understood_is_answered_ok_and_kept(client: FlaskClient, parts: Runtime, body: bytes) -> None:
    assert_ok(send(client, body))
    assert [row.type for row in rows(parts, Event)] == ["connectpay.unrecognised"]


def test_a_hundred_callbacks_of_unknown_types_in_a_row_are_all_answered_ok_and_none_is_lost(
    client: FlaskClient, parts: Runtime
) -> None:
    """After a hundred failures the bank would switch the service off."""
    for number in range(100):
        assert_ok(send(client, {"eventType": f"Novelty{number}.Happened", "id": number}))
    told = rows(parts, Event, type="connectpay.unrecognised")
    assert len({row.payload_sha256 for row in told}) == len(told) == len(rows(parts, FeedEntry)) == 100


@pytest.mark.parametrize(
    ("change", "reason", "proven"),
    [
        ({"token": None}, "token_missing", False),
        ({"token": ""}, "token_missing", False),
        ({"token": OLD_TOKEN}, "token_mismatch", False),
        ({"token": TOKEN.upper()}, "token_mismatch", False),
        ({"token": TOKEN + " x"}, "token_mismatch", False),
        ({"peer": "203.0.113.5"}, "address_not_allowed", True),
        ({"peer": "::1"}, "address_not_allowed", True),
        ({"token": None, "Authorization": f"Bearer {TOKEN}"}, "token_missing", False),
    ],
)
def test_without_the_token_or_from_elsewhere_it_is_refused(
    client: FlaskClient, parts: Runtime, change: dict[str, Any], reason: str, proven: bool
) -> None:
    assert send(client, BODY, **change).status_code == 401
    assert rows(parts, Event) == []
    (kept,) = rows(parts, Delivery)
    assert (kept.verdict, kept.reason, kept.proven) == ("rejected", reason, proven)


def test_the_token_before_the_current_one_is_good_through_the_grace_period(
    client: FlaskClient, parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    others.set_secret(parts, source, OLD_TOKEN)
    assert_ok(send(client, outgoing(order="PO-1"), token=TOKEN))
    assert_ok(send(client, outgoing(order="PO-2"), token=OLD_TOKEN))
    assert {row.proof_key for row in rows(parts, Event)} == {"secret:1", "secret:2"}
    clock.forward(3601)
    assert send(client, outgoing(order="PO-3"), token=TOKEN).status_code == 401
    assert_ok(send(client, outgoing(order="PO-3"), token=OLD_TOKEN))


def test_without_a_token_that_was_set_the_bank_is_asked_to_come_back(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "connectpay", None, name="new")
    for _ in range(2):
        assert send(client, BODY, path="/webhooks/new").status_code == 503
    assert [row.reason for row in rows(parts, Delivery)] == ["secret_not_set"]


def test_the_published_addresses_of_the_source_s_environment_are_let_in(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "connectpay", TOKEN, name="live", environment="production")
    for peer in ADDRESSES["production"]:
        assert_ok(send(client, BODY, peer=peer, path="/webhooks/live"))
        assert send(client, BODY, peer=peer).status_code == 401


def test_a_list_of_one_s_own_stands_in_for_the_published_one(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "connectpay", TOKEN, name="own", allowed_addresses=["203.0.113.0/24"])
    assert_ok(send(client, BODY, peer="203.0.113.5", path="/webhooks/own"))
    assert send(client, BODY, path="/webhooks/own").status_code == 401


def test_the_token_may_stand_in_another_header(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "connectpay", TOKEN, name="own", token_header="x-secret")
    assert_ok(send(client, BODY, token=None, path="/webhooks/own", **{"X-Secret": TOKEN}))
    assert send(client, BODY, path="/webhooks/own").status_code == 401


def test_no_token_is_stored_right_or_wrong(client: FlaskClient, parts: Runtime) -> None:
    wrong = TOKEN[:-1] + "f"
    send(client, BODY)
    send(client, BODY, token=wrong)
    send(client, BODY, peer="203.0.113.5")
    stored = repr(rows(parts, Delivery))
    assert "x-connectpay-token" in stored
    assert TOKEN not in stored
    assert wrong not in stored


def test_a_rejected_delivery_is_accepted_later_by_the_digest_of_its_token(client: FlaskClient, parts: Runtime) -> None:
    source = others.add(parts, "connectpay", None, name="late")
    send(client, BODY, path="/webhooks/late")
    others.set_secret(parts, source, TOKEN)
    with parts.database.write() as connection:
        (row,) = deliveries.rejected(connection, "late", below=None, limit=10)
        assert reverify.verify(connection, parts, row, parts.clock()) == Verdict.ACCEPTED
    assert [row.proof_key for row in rows(parts, Event)] == ["secret:1"]


def test_a_callback_about_a_payment_makes_it_due_and_others_make_nothing_due(
    client: FlaskClient, parts: Runtime
) -> None:
    send(client, {"eventType": "Account.BalanceChanged", "accountNo": "LT1"})
    send(client, {"eventType": "IncomingPayment.Completed", "transactionId": "TX-1"})
    assert rows(parts, Subject) == []
    send(client, outgoing("Created"))
    assert [row.subject for row in rows(parts, Subject)] == ["PO-1"]
