"""How Banking Circle's answers about a payment are read."""

from datetime import UTC, datetime
from typing import Any

import pytest
from answering import answering

from receiver import banks
from receiver.banks.http import HttpClient

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)

SMALL: dict[str, Any] = {
    "paymentId": "p-1",
    "status": "Processed",
    "paymentRail": "SCT",
    "transfer": {"amount": {"amount": 12.5, "currency": "EUR"}},
}
CAPITAL: dict[str, Any] = {
    "PaymentId": "p-1",
    "Status": "Processed",
    "PaymentRail": "SCT",
    "Transfer": {"Amount": {"Amount": 12.5, "Currency": "EUR"}},
}


@pytest.mark.parametrize("fields", [SMALL, CAPITAL])
def test_a_payment_is_read_in_either_spelling(fields: dict[str, Any]) -> None:
    with answering() as api:
        api.answer = fields
        client = HttpClient(api.url, clock=lambda: NOW, token="t")
        by_id = banks.named("banking_circle").ask(client, "payment", "p-1", {})
        by_reference = banks.named("banking_circle").ask(client, "reference", "010F1", {})
    assert (by_id.status, by_id.detail["paymentRail"]) == ("completed", "SCT")
    assert [(str(each.amount), each.currency) for each in by_id.amounts] == [("12.5", "EUR")]
    assert (by_reference.payment_id, by_reference.detail["amount"]) == ("p-1", "12.5 EUR")
