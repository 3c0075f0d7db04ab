"""A `~/.netrc` with an entry for the host never takes a token's place: neither the feed client's nor a bank's."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tiny_bank import TinyBank, answer, gives, serving

from receiver.banks.http import HttpClient
from receiver.client import FeedClient, FeedRefused

ANSWER = {"data": [{"id": "fe_1"}], "next": "c", "has_more": False, "cursor": "c"}
"""A page of the feed, and a position."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TinyBank]:
    """A real server, whose host the user's netrc knows."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login thief password instead\ndefault login a password b\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    with serving() as running:
        yield running


def shown(server: TinyBank) -> set[str | None]:
    return {headers.get("Authorization") for _, _, headers, _ in server.asked}


def test_the_feed_client_shows_its_token(server: TinyBank) -> None:
    gives(server, 200, ANSWER)
    client = FeedClient(server.url, "rcv_x", "ledger/../x")
    reading = iter(client)
    assert [next(reading)["id"] for _ in range(2)] == ["fe_1", "fe_1"]
    client.seek("end")
    assert {method for method, _, _, _ in server.asked} == {"GET", "POST"}
    assert {path.split("?")[0].rpartition("/")[0] for _, path, _, _ in server.asked} == {
        "/api/v1/consumers/ledger%2F..%2Fx"
    }
    assert shown(server) == {"Bearer rcv_x"}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_gets_neither_the_token_nor_a_password(server: TinyBank, status: int) -> None:
    server.answer = lambda handler: answer(handler, status, b"", Location=f"{server.url}/elsewhere")
    with pytest.raises(FeedRefused, match=f"{status}: moved to {server.url}/elsewhere"):
        next(iter(FeedClient(server.url, "rcv_x", "ledger")))
    assert len(server.asked) == 1
    assert shown(server) == {"Bearer rcv_x"}


def test_a_bank_is_shown_what_it_is_to_be_shown(server: TinyBank) -> None:
    for token, expected in (("bank-token", "Bearer bank-token"), (None, None)):
        server.asked.clear()
        client = HttpClient(server.url, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), token=token)
        client.get("/x")
        client.post("/x", {})
        client.close()
        assert shown(server) == {expected}
