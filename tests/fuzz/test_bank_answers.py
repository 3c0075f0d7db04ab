"""Banks' answers, fuzzed over real HTTP: an answer or a bank error comes out, and nothing else."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from random import Random
from typing import Any

import pytest
from fuzz.genuine import NOW
from fuzz.mutations import RANDOMS, changed_bytes, changed_json
from hypothesis import given
from hypothesis import strategies as st
from others import CREDENTIALS
from tiny_bank import TinyBank, serving

from receiver import banks
from receiver.banks.abilities import AnswersInBulk, KeepsAccounts, ListsPayments, Subscribes
from receiver.banks.business_days import Window
from receiver.banks.errors import BankError
from receiver.banks.http import HttpClient
from receiver.banks.listing import PAGES_MAX
from receiver.banks.protocol import Bank

TODAY = Window(NOW.replace(hour=0), NOW.replace(hour=23))

_BCB_LINE = {
    "id": "FT1",
    "status": "Completed",
    "thisAccount": {"number": "1046406142"},
    "otherAccount": {"number": "7"},
    "details": {
        "type": "Debit",
        "description": "Rent",
        "value": {"amount": "-500.00", "currency": "BMD"},
        "posted": "2026-03-04T10:30:00Z",
    },
}
_BC_LINE = {
    "paymentReferenceNumber": "010F1",
    "accountNumber": "7",
    "amount": 12.5,
    "currency": "GBP",
    "debitCreditIndicator": "DBIT",
    "bookingDate": "2026-03-04",
    "status": "Rejected",
}

ANSWERS: dict[str, list[Any]] = {
    "bcb": [
        {
            "token": "a.b.c",
            "status": "Completed",
            "debitAmount": "5.00",
            "creditAmount": {"amount": "5", "currency": "USD"},
        },
        {
            "jobStatus": "Completed",
            "results": [{"index": 0, "status": "Failed", "error": "no"}],
            "timestamp": "2026-03-04",
        },
        {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "1", "use": "sig"}]},
        [_BCB_LINE, _BCB_LINE],
        {"data": [_BCB_LINE], "nextPage": 2, "totalPages": 3},
        [{"accountNumber": "1046406142", "currency": "USD", "balance": "1.00", "status": "Open"}],
    ],
    "banking_circle": [
        {"access_token": "a.b.c", "expires_in": "300"},
        {
            "status": "Processed",
            "paymentId": "p1",
            "return": True,
            "transfer": {"amount": {"amount": 5, "currency": "GBP"}},
        },
        {
            "result": [{"accountId": "a", "balances": [{"currency": "GBP"}]}],
            "pageInfo": {"currentPage": 1, "pageSize": 1},
        },
        [_BC_LINE, _BC_LINE],
        {"Result": [_BC_LINE], "PageInfo": {"CurrentPage": 1, "TotalPages": 1}},
        [{"subscriptionId": "s", "endpoint": "https://a.example", "notificationTypes": ["Reversed"], "isActive": True}],
    ],
    "connectpay": [
        {"paymentStatus": "ACSC"},
        {"data": {"transactionStatus": "RJCT"}},
        [],
        {"errors": [{"errorCode": "7"}]},
    ],
    "banqup": [
        {"access_token": "a.b.c", "expires_in": 300, "expires_at": "2026-03-04T12:05:00Z"},
        {"data": {"status": {"payment": "PAID"}, "levelOfCertainty": "INFORMATIONAL"}},
        {"data": [{"extensionPointId": "e-1", "id": "e"}]},
        {"status": "FAILED"},
    ],
}

HEADS: list[list[tuple[str, str]]] = [
    *([], [], []),
    *([("Retry-After", "9" * 20)], [("Retry-After", "\xff")], [("Content-Encoding", "gzip")], [("Location", "//[")]),
]


@pytest.fixture(scope="module")
def listening() -> Iterator[TinyBank]:
    with serving() as server:
        yield server


def everything_asked(bank: Bank, client: HttpClient) -> Iterator[Any]:
    """Each question that a bank's package puts, to be asked one by one."""
    facts = {"space_id": "space-1"}
    credentials = CREDENTIALS.get(bank.name, {"client_id": "i", "client_secret": "s", "username": "u", "password": "p"})
    yield lambda: bank.new_token(client, credentials)
    for kind in ("payment", "job", "reference"):
        yield lambda kind=kind: bank.ask(client, kind, "FT1", facts)
    yield lambda: bank.fetch_public_keys(client)
    yield lambda: bank.clock(client)
    if isinstance(bank, KeepsAccounts):
        yield lambda: bank.accounts(client)
    if isinstance(bank, Subscribes):
        yield lambda: bank.list_subscriptions(client)
    if isinstance(bank, ListsPayments):
        yield lambda: bank.lists(client)
        yield lambda: bank.list_page(client, "1046406142", TODAY, None)
    if isinstance(bank, AnswersInBulk):
        yield lambda: bank.answer_page(client, "1046406142", None)


@pytest.mark.parametrize("name", ANSWERS)
@given(random=RANDOMS, status=st.sampled_from([200, 200, 200, 200, 400, 401, 403, 404, 429, 500, 302]))
def test_an_answer_or_a_bank_error_comes_out(listening: TinyBank, name: str, random: Random, status: int) -> None:
    bank = banks.named(name)
    body = changed_json(random, json.dumps(random.choice(ANSWERS[name]))).encode()
    if random.random() < 0.1:
        body = changed_bytes(random, body)
    head = random.choice(HEADS)

    def give(handler: BaseHTTPRequestHandler) -> None:
        # In one piece: the system would hold a second one back until the first is acknowledged.
        lines = [f"HTTP/1.1 {status} ", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in head)]
        handler.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    listening.answer, listening.asked[:] = give, []
    client = HttpClient(listening.url, clock=lambda: NOW, token="t", read_seconds=60)
    lengths = [0]
    for question in everything_asked(bank, client):
        try:
            found = question()
        except BankError as error:
            lengths.append(len(str(error)))
            continue
        for said in found if isinstance(found, list | tuple) else [found]:
            state = getattr(said, "status", None)
            assert state is None or isinstance(state, str)
    client.close()
    assert max(lengths) < 1000
    assert len(listening.asked) <= 2 * PAGES_MAX


def test_every_bank_with_an_api_is_asked() -> None:
    assert set(ANSWERS) == {bank.name for bank in banks.every().values() if bank.credential_names}
