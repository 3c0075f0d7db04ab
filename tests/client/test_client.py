"""`receiver.client` against a real server: at least once, in order, for ever."""

import json
import ssl
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import requests
from bank import BankSigner, deposit
from certificates import new_certificate
from conftest import add_source, make_token
from servers import WebServer
from tiny_bank import serving

from receiver import client as feed_client
from receiver.client import PAUSE_MAX_SECONDS, FeedClient, FeedRefused
from receiver.runtime import Runtime
from receiver.store import consumers


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The client sees no database, so one kind is enough here."""
    return sqlite_url


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_client, "WAIT_SECONDS", 1)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


@pytest.fixture
def pauses() -> list[float]:
    """How long the client would have slept."""
    return []


@pytest.fixture
def ledger(server: WebServer, live: Runtime, session: requests.Session, pauses: list[float]) -> FeedClient:
    token = make_token(live)["Authorization"].removeprefix("Bearer ")
    return FeedClient(server.url, token, "ledger", limit=2, sleep=pauses.append, session=session)


def send(server: WebServer, bank: BankSigner, *payments: str) -> None:
    for payment in payments:
        signed = bank.sign(deposit(transactionId=payment))
        assert requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60).ok


def position(parts: Runtime) -> int:
    with parts.database.read() as connection:
        return consumers.position_of(connection, "ledger") or 0


def subjects(client: FeedClient, number: int) -> list[str]:
    return [entry["subject"] for entry in islice(client, number)]


def test_entries_come_in_order_and_a_page_is_acknowledged_when_its_last_block_has_ended(
    server: WebServer, live: Runtime, live_bank: BankSigner, ledger: FeedClient, pauses: list[float]
) -> None:
    send(server, live_bank, "FT1", "FT2", "FT3")
    positions = []
    for entry in ledger:
        positions.append((entry["subject"], position(live)))
        if len(positions) == 3:
            break
    assert positions == [("FT1", 0), ("FT2", 0), ("FT3", 2)]
    assert pauses == []


def test_it_goes_on_with_what_comes_while_it_waits(
    server: WebServer, live: Runtime, live_bank: BankSigner, ledger: FeedClient
) -> None:
    send(server, live_bank, "FT1")
    reading = iter(ledger)
    assert next(reading)["subject"] == "FT1"
    send(server, live_bank, "FT2")
    assert next(reading)["subject"] == "FT2"
    assert position(live) == 1


def test_an_exception_in_the_block_makes_the_page_come_again(
    server: WebServer, live: Runtime, live_bank: BankSigner, ledger: FeedClient
) -> None:
    send(server, live_bank, "FT1", "FT2", "FT3")
    seen: list[str] = []

    def book_until_it_fails() -> None:
        for entry in ledger:
            seen.append(entry["id"])
            if len(seen) == 4:
                return
            if len(seen) == 2:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        book_until_it_fails()
    assert position(live) == 0
    book_until_it_fails()
    assert seen == ["fe_1", "fe_2", "fe_1", "fe_2"]


def test_it_backs_off_while_the_server_is_down_and_goes_on_after_it_is_back(
    server: WebServer, live_bank: BankSigner, ledger: FeedClient, pauses: list[float]
) -> None:
    send(server, live_bank, "FT1", "FT2", "FT3")
    reading = iter(ledger)
    assert next(reading)["subject"] == "FT1"
    server.stop()

    def wait_for_it(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            server.start()

    ledger.sleep = wait_for_it
    assert [entry["subject"] for entry in islice(reading, 2)] == ["FT2", "FT3"]
    assert len(pauses) == 5
    for count, pause in enumerate(pauses):
        longest = feed_client.PAUSE_FIRST_SECONDS * 2**count
        assert longest / 2 <= pause <= longest


class Answers(requests.Session):
    """A server's answers, one after the other; the last one is given for ever. It takes every acknowledgement."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        super().__init__()
        self.answers = list(answers)

    def request(self, *asked: object, **_: object) -> requests.Response:
        made = requests.Response()
        made.status_code, made._content = 200, POSITION
        if not str(asked[1]).endswith("/ack"):
            made.status_code, headers, made._content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            made.headers.update(headers)
        return made


PAGE = json.dumps({"data": [{"id": "fe_1"}], "next": "c", "has_more": False}).encode()
POSITION = b'{"consumer":"ledger","cursor":"c"}'


@pytest.mark.parametrize(
    "trouble",
    [
        (500, {}, b""),
        (503, {}, b"{}"),
        (429, {}, b""),
        (502, {}, b"<html>"),
        (200, {}, b"<html>"),
        (200, {}, b""),
        (200, {}, b"[]"),
        (408, {}, b""),
        (200, {}, b'{"message":"maintenance"}'),
        (200, {}, b'{"data":null,"next":"c","has_more":false}'),
        (200, {}, b'{"data":[1],"next":"c","has_more":false}'),
        (200, {}, b'{"data":[],"next":null,"has_more":false}'),
        (200, {}, b'{"data":[],"next":"c"}'),
    ],
)
def test_troubles_are_waited_out(trouble: tuple[int, dict[str, str], bytes], pauses: list[float]) -> None:
    with Answers(*[trouble] * 12, (200, {}, PAGE)) as session:
        client = FeedClient("http://receiver.invalid", "rcv_x", "ledger", sleep=pauses.append, session=session)
        assert next(iter(client))["id"] == "fe_1"
    assert len(pauses) == 12
    assert max(pauses) <= PAUSE_MAX_SECONDS
    assert min(pauses[8:]) >= PAUSE_MAX_SECONDS / 2


@pytest.mark.parametrize("trouble", [(200, {}, b'{"message":"maintenance"}'), (408, {}, b""), (200, {}, b"<html>")])
def test_a_consumer_is_not_taken_for_moved_before_the_receiver_says_so(
    trouble: tuple[int, dict[str, str], bytes], pauses: list[float]
) -> None:
    with Answers(*[trouble] * 3, (200, {}, POSITION)) as session:
        FeedClient("http://receiver.invalid", "rcv_x", "ledger", sleep=pauses.append, session=session).seek("end")
    assert len(pauses) == 3


def test_it_pauses_where_the_server_does_not_let_it_wait(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    # However long this machine takes to answer at once.
    monkeypatch.setattr(feed_client, "SOON_SECONDS", 60)
    empty: tuple[int, dict[str, str], bytes] = (200, {}, b'{"data":[],"next":"c","has_more":false}')
    with Answers(*[empty] * 12, (200, {}, PAGE), *[empty] * 3, (200, {}, PAGE)) as session:
        reading = iter(FeedClient("http://receiver.invalid", "rcv_x", "ledger", sleep=pauses.append, session=session))
        next(reading)
        longest = feed_client.UNSEATED_MAX_SECONDS
        assert longest / 2 <= pauses[-1] <= longest
        assert sum(pauses) > longest
        before = len(pauses)
        next(reading)
    assert pauses[before] <= feed_client.PAUSE_FIRST_SECONDS


@pytest.mark.parametrize(
    ("told", "least"), [("20", 20), ("9999", 60), ("0" * 50 + "20", 20), ("soon", 0), ("-1", 0), ("", 0)]
)
def test_it_waits_as_long_as_it_is_told_within_reason(told: str, least: float, pauses: list[float]) -> None:
    with Answers((503, {"Retry-After": told}, b""), (200, {}, PAGE)) as session:
        next(iter(FeedClient("http://receiver.invalid", "rcv_x", "ledger", sleep=pauses.append, session=session)))
    assert least <= pauses[0] <= max(least, feed_client.PAUSE_FIRST_SECONDS)


def test_what_is_waited_out_is_logged_at_first_and_then_seldom(caplog: pytest.LogCaptureFixture) -> None:
    with Answers(*[(502, {}, b"<html>\n")] * 12, (200, {}, PAGE)) as session:
        next(iter(FeedClient("http://receiver.invalid", "rcv_x", "ledger", sleep=lambda _: None, session=session)))
    assert [record.getMessage() for record in caplog.records] == [
        f"ledger waits for an answer of the receiver (tried {tries} times): '502: <html>\\n'" for tries in (1, 2, 4, 8)
    ]


@pytest.mark.parametrize(
    ("address", "token", "why"),
    [
        ("receiver.invalid", "rcv_x", "No scheme"),
        ("htp://receiver.invalid", "rcv_x", "No connection adapters"),
        ("http://[receiver", "rcv_x", "not a valid host"),
        ("http://.invalid", "rcv_x", "label"),
        ("{server}", "rcv_secret\n", "holds what can't be sent"),
        ("{server}", "rcv_secret€", "holds what can't be sent"),
        ("{certificate}", "rcv_x", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_a_mistake_that_never_heals_ends_it_at_once(
    session: requests.Session, pauses: list[float], tmp_path: Path, address: str, token: str, why: str
) -> None:
    with serving() as plain, serving() as own:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*new_certificate(tmp_path))
        own.socket = context.wrap_socket(own.socket, server_side=True)
        url = address.format(server=plain.url, certificate=own.url.replace("http://", "https://"))
        with pytest.raises(FeedRefused, match=why) as refused:
            next(iter(FeedClient(url, token, "ledger", sleep=pauses.append, session=session)))
    assert pauses == []
    assert "secret" not in "".join(traceback.format_exception(refused.value))


def test_a_server_that_refuses_ends_it(
    server: WebServer, live: Runtime, ledger: FeedClient, session: requests.Session, pauses: list[float]
) -> None:
    unscoped = make_token(live, "events:read", name="unscoped")["Authorization"].removeprefix("Bearer ")
    for token, consumer, status in (
        ("rcv_wrong", "ledger", 401),
        (unscoped, "ledger", 403),
        (ledger.token, "-not a name", 400),
    ):
        client = FeedClient(server.url, token, consumer, sleep=pauses.append, session=session)
        with pytest.raises(FeedRefused, match=str(status)):
            next(iter(client))
    with pytest.raises(FeedRefused, match="400"):
        ledger.seek("nowhere")
    assert pauses == []


def test_seeking_moves_it(server: WebServer, live_bank: BankSigner, ledger: FeedClient) -> None:
    send(server, live_bank, "FT1", "FT2", "FT3")
    ledger.seek("end")
    send(server, live_bank, "FT4")
    assert subjects(ledger, 1) == ["FT4"]
    ledger.seek("beginning")
    assert subjects(ledger, 3) == ["FT1", "FT2", "FT3"]
    ledger.seek("2020-01-01T00:00:00Z")
    assert subjects(ledger, 1) == ["FT1"]


def test_a_page_that_goes_over_what_the_token_may_not_see_is_acknowledged_once(
    server: WebServer, live: Runtime, live_bank: BankSigner, ledger: FeedClient
) -> None:
    """Else the consumer stands where it is while all others' entries pass, and holds retention up."""
    add_source(live, "quiet")
    ledger.token = make_token(live, sources=("quiet",), name="limited")["Authorization"].removeprefix("Bearer ")
    send(server, live_bank, "FT1", "FT2")
    asked: list[tuple[str | None, int]] = []

    def stop_after_four(answer: requests.Response, **_: object) -> None:
        asked.append((answer.request.method, position(live)))
        if len(asked) == 4:
            raise ZeroDivisionError

    ledger.session.hooks["response"].append(stop_after_four)
    with pytest.raises(ZeroDivisionError):
        next(iter(ledger))
    assert asked == [("GET", 0), ("POST", 2), ("GET", 2), ("GET", 2)]


def test_seeking_in_the_block_drops_the_rest_of_the_page(
    server: WebServer, live: Runtime, live_bank: BankSigner, ledger: FeedClient
) -> None:
    send(server, live_bank, "FT1", "FT2", "FT3", "FT4")
    seen = []
    for entry in ledger:
        seen.append(entry["subject"])
        if len(seen) in (3, 5):
            ledger.seek("beginning")
        if len(seen) == 7:
            break
    assert seen == ["FT1", "FT2", "FT3", "FT1", "FT2", "FT1", "FT2"]
    assert position(live) == 0


def test_the_token_is_not_in_its_text(session: requests.Session) -> None:
    assert "rcv_secret" not in repr(FeedClient("http://receiver.invalid", "rcv_secret", "ledger", session=session))


def test_an_address_may_end_with_a_slash(server: WebServer, live_bank: BankSigner, ledger: FeedClient) -> None:
    send(server, live_bank, "FT1")
    ledger.base_url += "/"
    assert subjects(ledger, 1) == ["FT1"]


def test_other_sources_and_types_are_passed_over_and_acknowledged_all_the_same(
    server: WebServer, live: Runtime, live_bank: BankSigner, ledger: FeedClient
) -> None:
    send(server, live_bank, "FT1", "FT2", "FT3", "FT4")
    ledger.sources, ledger.types = ["bcb"], ["bcb.deposit"]
    assert subjects(ledger, 3) == ["FT1", "FT2", "FT3"]
    assert position(live) == 2
    ledger.types = ["bcb.debit"]
    ledger.limit = 1
    signed = live_bank.sign(deposit(transactionId="FT5", type="Debit"))
    requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60)
    assert subjects(ledger, 1) == ["FT5"]
    assert position(live) == 4
