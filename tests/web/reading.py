"""What the tests of the read side share: events to read, and a way to page through them."""

from typing import Any

from bank import BankSigner, Signed, deposit
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

Headers = dict[str, str]


def send(client: FlaskClient, signed: Signed) -> str:
    """Send a callback; return the event that it became."""
    answer = client.post(signed.path, data=signed.body, headers=signed.headers)
    assert answer.status_code == 200, answer.text
    event_id: str = answer.json["events"][0] if answer.json else ""
    return event_id


def send_deposits(client: FlaskClient, bank: BankSigner, number: int, source: str = "bcb") -> list[str]:
    """Send deposits FT0, FT1, …; return their events."""
    path = f"/webhooks/{source}"
    return [send(client, bank.sign(deposit(transactionId=f"FT{count}"), path)) for count in range(number)]


def get(client: FlaskClient, path: str, token: Headers, **query: Any) -> TestResponse:
    """GET a path with a token."""
    return client.get(path, headers=token, query_string=query)


def got(client: FlaskClient, path: str, token: Headers, **query: Any) -> dict[str, Any]:
    """GET a path with a token; return what it answers, which must be 200."""
    answer = get(client, path, token, **query)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.get_json()
    return shown


def assert_problem(answer: TestResponse, status: int, *mentions: str) -> None:
    """The answer is a problem document of this status, and its text names what it should."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    document = answer.get_json(force=True)
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["status"] == status
    for text in mentions:
        assert text in document["detail"]


def spoilt(cursor: str) -> list[str]:
    """What somebody may make of a cursor."""
    flipped = "A" if cursor[-1] != "A" else "B"
    middle = len(cursor) // 2
    return [
        cursor[:-1],
        cursor[1:],
        cursor[: len(cursor) // 2],
        cursor[:-1] + flipped,
        cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :],
        cursor + "=",
        cursor + "!",
        cursor + "A",
        cursor.rpartition(".")[0],
        cursor.partition(".")[0] + ".",
        "OTk." + cursor.partition(".")[2],
        "1",
        "0",
        "null",
        "\0",
        "ü.ü",
        ".",
        "A" * 5000,
    ]
