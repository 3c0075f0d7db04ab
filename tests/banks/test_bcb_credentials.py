"""BCB's credentials API, as this side asks it and reads its answers."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from receiver.banks import bcb
from receiver.banks.abilities import AddressesWrong, IssuesCredentials
from receiver.banks.bcb import credentials
from receiver.banks.errors import AnswerUnreadable, Forbidden
from receiver.banks.http import HttpClient

KEY = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
NEW = {"clientId": "c 1", "clientSecret": "s", "isActive": True, "allowedIps": None, "messageSigningSecret": "m"}


class Bank(ThreadingHTTPServer):
    """Gives one answer, and writes down what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.answer = 200, b"{}"
        self.asked: list[tuple[str, str, str | None, bytes]] = []

    def gives(self, answer: Any, status: int = 200) -> None:
        self.status, self.answer = status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()


class Handler(BaseHTTPRequestHandler):
    server: Bank

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers["Idempotency-Key"], body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that the library calls

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def bank() -> Iterator[Bank]:
    server = Bank()
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def api(bank: Bank) -> Iterator[HttpClient]:
    made = HttpClient(f"http://127.0.0.1:{bank.server_port}", clock=lambda: datetime.now(UTC), token="t")
    yield made
    made.close()


def test_it_is_a_bank_that_issues_credentials() -> None:
    assert isinstance(bcb.BANK, IssuesCredentials)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("*", "*"),
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ,198.51.100.0/24 ", "203.0.113.7,198.51.100.0/24"),
        ("2001:db8::1,2001:db8::/32", "2001:db8::1,2001:db8::/32"),
        ("203.0.113.7/32", "203.0.113.7/32"),
    ],
)
def test_addresses_and_ranges_are_taken(given: str, sent: str) -> None:
    assert credentials.check_addresses(given) == sent


@pytest.mark.parametrize("given", ["", ",", "203.0.113.7,", "203.0.113.256", "example.com", "*,*", "1.2.3.4/33", "1"])
def test_what_is_neither_is_refused(given: str) -> None:
    with pytest.raises(AddressesWrong):
        credentials.check_addresses(given)


def test_a_range_that_is_none_is_refused_with_what_could_be_meant() -> None:
    with pytest.raises(AddressesWrong, match=r"the range is 198\.51\.100\.0/24, the address 198\.51\.100\.7"):
        credentials.check_addresses("198.51.100.7/24")


def test_a_creation_carries_its_key_and_addresses(bank: Bank, api: HttpClient) -> None:
    bank.gives(NEW, 201)
    made = credentials.create(api, KEY, "203.0.113.7")
    assert (made.client_id, made.client_secret, made.signing_secret) == ("c 1", "s", "m")
    assert bank.asked == [("POST", "/v1/credentials", KEY, b'{"allowedIps": "203.0.113.7"}')]


def test_a_rotation_names_the_client_in_its_path(bank: Bank, api: HttpClient) -> None:
    bank.gives(NEW)
    assert credentials.rotate(api, KEY, "c 1").signing_secret == "m"
    assert bank.asked == [("PATCH", "/v1/credentials/c%201", KEY, b"")]


def test_no_secret_stands_in_the_repr_of_an_answer(bank: Bank, api: HttpClient) -> None:
    bank.gives({**NEW, "clientSecret": "hidden-1", "messageSigningSecret": "hidden-2"})
    assert "hidden" not in repr(credentials.rotate(api, KEY, "c 1"))


@pytest.mark.parametrize("given", [None, "", 7, "a\nb"])
def test_a_client_secret_is_kept_even_where_no_signing_secret_came_with_it(
    bank: Bank, api: HttpClient, given: Any
) -> None:
    bank.gives({**NEW, "messageSigningSecret": given})
    made = credentials.rotate(api, KEY, "c 1")
    assert (made.client_secret, made.signing_secret) == ("s", None)


@pytest.mark.parametrize(
    "answer", [{}, [], None, "s", {**NEW, "clientSecret": ""}, {**NEW, "clientId": None}, {**NEW, "clientId": "other"}]
)
def test_an_answer_without_credentials_is_none(bank: Bank, api: HttpClient, answer: Any) -> None:
    bank.gives(answer)
    with pytest.raises(AnswerUnreadable):
        credentials.rotate(api, KEY, "c 1")


@pytest.mark.parametrize("answer", [b"", b"{}", b"<html>", b'{"clientSecret":"","messageSigningSecret":null}'])
def test_any_2xx_says_that_a_client_is_disabled(bank: Bank, api: HttpClient, answer: bytes) -> None:
    bank.gives(answer)
    credentials.disable(api, KEY, "c 1")
    assert bank.asked == [("DELETE", "/v1/credentials/c%201", KEY, b"")]


def test_anything_else_does_not(bank: Bank, api: HttpClient) -> None:
    bank.gives({"error": "Forbidden"}, 403)
    with pytest.raises(Forbidden):
        credentials.disable(api, KEY, "c 1")


@pytest.mark.parametrize("wrapped", [False, True])
def test_permissions_are_read_and_put_in_order(bank: Bank, api: HttpClient, wrapped: bool) -> None:
    listed: Any = [{"key": "b", "description": "B"}, {"key": "a"}, {"key": None}, 7]
    bank.gives({"data": listed} if wrapped else listed)
    held = credentials.permissions(api, "c 1")
    assert [(permission.key, permission.description) for permission in held] == [("a", ""), ("b", "B")]
    assert bank.asked == [("GET", "/v1/credentials/c%201/permissions", None, b"")]


@pytest.mark.parametrize("answer", [{}, "x", 7, None])
def test_permissions_that_are_no_list_are_none(bank: Bank, api: HttpClient, answer: Any) -> None:
    bank.gives(answer)
    with pytest.raises(AnswerUnreadable):
        credentials.permissions(api, "c 1")
