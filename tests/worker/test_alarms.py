"""Alarms to people: each change of what needs one is told once, to each address, and no service holds anything up."""

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import KEY, StandingClock, add_source
from pydantic import SecretStr
from sqlalchemy import text

from receiver.model import ExceptionKind, OwnType
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.settings import Settings, SettingsError
from receiver.store import alarms, exceptions, feed, outbox
from receiver.store.alarms import PAUSE_MAX
from receiver.store.exceptions import Opened
from receiver.store.sources import SourceRecord
from receiver.worker.alarms import LEASE, LOOKED_EVERY, NEWS_FOR, Alarms
from receiver.worker.loop import Worker

# apprise imports what Python will have no longer, where it is there.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")

PASSWORD = "t0ken-of-the-service"


@dataclass
class Service:
    """A service on loopback that takes messages, fails or hangs."""

    status: int = 200
    room: int = 1000
    """How many messages it takes before it fails."""
    got: list[dict[str, Any]] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    meanwhile: Callable[[], None] | None = None
    """What happens while it takes a message."""
    port: int = 0

    def __post_init__(self) -> None:
        self.hanging.set()

    @property
    def url(self) -> str:
        return f"json://user:{PASSWORD}@127.0.0.1:{self.port}/here"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.got]


def serving(service: Service) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.hanging.wait(60)
            if service.meanwhile is not None:
                service.meanwhile()
            status = service.status if service.room else 500
            if status == 200:
                service.room -= 1
                service.got.append(json.loads(body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def services() -> Iterator[list[Service]]:
    made = [Service(), Service()]
    servers = []
    for service in made:
        server = serving(service)
        service.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
    yield made
    for (server, thread), service in zip(servers, made, strict=True):
        service.hanging.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def alerting(parts: Runtime, services: list[Service]) -> Runtime:
    urls = tuple(SecretStr(service.url) for service in services)
    changed = {"alert_urls": urls, "public_url": "https://callbacks.example.com", "public_path_prefix": "/bank"}
    return replace(parts, settings=parts.settings.model_copy(update=changed))


@pytest.fixture
def source(parts: Runtime) -> SourceRecord:
    return add_source(parts)


def change(parts: Runtime, source: SourceRecord, number: int, type_: str = alarms.OPENED, **more: Any) -> None:
    """Write the entry of the feed that tells of a change."""
    data = {
        "exception_id": f"exc_{number}",
        "kind": "contradicted",
        "about": "payment",
        "about_id": f"FT{number}",
        "severity": "high",
        "amount": "1234.56",
        "currency": "USD",
        "number": 1,
        "detail": "a callback claims completed, and the bank answers rejected",
        **more,
    }
    with parts.database.write() as connection:
        outbox.append(
            connection,
            type=type_,
            source_id=source.id,
            subject=f"FT{number}",
            event_id=None,
            data=data,
            now=parts.clock(),
        )
    catch_up(parts.database)


def positions(parts: Runtime, told: Alarms) -> list[alarms.Progress]:
    with parts.database.read() as connection:
        found = [alarms.progress(connection, address.digest) for address in told._addresses]
    return [each for each in found if each is not None]


def look(told: Alarms, clock: StandingClock, seconds: float = LOOKED_EVERY.total_seconds()) -> None:
    clock.forward(seconds)
    told.look()
    told.wait()


def test_each_change_is_told_once_to_each_address(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    change(alerting, source, 0)
    told = Alarms(alerting)
    look(told, clock)
    for number in range(1, 25):
        change(alerting, source, number)
    change(alerting, source, 1, alarms.RESOLVED, resolved_by="cli:somebody")
    for _ in range(6):
        look(told, clock)
        look(Alarms(alerting), clock)
    for service in services:
        # What was open before anybody was to be told is not told.
        assert service.titles == ["[high] contradicted: bcb"] * 24 + ["[resolved] contradicted: bcb"]
    first, last = services[0].got[0], services[0].got[-1]
    assert (first["type"], last["type"]) == ("warning", "success")
    assert first["message"].splitlines() == [
        "payment FT1 of bcb: contradicted",
        "a callback claims completed, and the bank answers rejected",
        "https://callbacks.example.com/bank/staff/exceptions/exc_1",
    ]
    assert "resolved by cli:somebody" in last["message"]
    assert "1234.56" not in json.dumps(services[0].got)


@pytest.mark.parametrize("status", [200, 500])
def test_a_worker_that_ends_tells_all_first_what_it_has_opened_itself_too(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock, status: int
) -> None:
    look(Alarms(alerting), clock)
    for number in range(25):
        change(alerting, source, number)
    services[1].status = status

    def open_one() -> int:
        with alerting.database.write() as connection:
            exceptions.open_all(connection, [Opened(ExceptionKind.SILENCE, source.id, "source", "bcb")], clock())
        return 0

    Worker(alerting, [open_one]).run_once()
    told = ["[high] contradicted: bcb"] * 25 + ["[medium] silence: bcb"]
    assert [service.titles for service in services] == [told, told if status == 200 else []]


def test_a_service_that_fails_once_more_after_a_success_is_tried_soon(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    told = Alarms(alerting)
    look(told, clock)
    services[0].status = 500
    change(alerting, source, 1)
    change(alerting, source, 2)
    for _ in range(3):
        look(told, clock, 3600)
    assert positions(alerting, told)[0].failures == 3
    services[0].status, services[0].room = 200, 1
    look(told, clock, 3600)
    assert (len(services[0].got), positions(alerting, told)[0].failures) == (1, 1)
    services[0].room = 1
    look(told, clock, 10)
    assert len(services[0].got) == 2


def test_several_workers_at_once_tell_each_change_once(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    look(Alarms(alerting), clock)
    for number in range(8):
        change(alerting, source, number)
    workers = [Alarms(alerting) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda told: (told.look(), told.wait()), workers))
    look(workers[0], clock)
    assert [len(service.got) for service in services] == [8, 8]


def test_messages_that_are_slow_one_after_the_other_are_told_once_each(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    told, other = Alarms(alerting), Alarms(alerting)
    look(told, clock)
    for number in range(alarms.AT_ONCE):
        change(alerting, source, number)
    slow, address = services[0], other._addresses[0]

    def come() -> None:
        clock.forward(LEASE.total_seconds() / 2)
        slow.meanwhile = None
        other.tell(address)
        slow.meanwhile = come

    slow.meanwhile = come
    told.tell(told._addresses[0])
    numbers = [message["message"].split()[1] for message in slow.got]
    assert numbers == [f"FT{number}" for number in range(alarms.AT_ONCE)]


def test_who_took_longer_than_the_lease_leaves_the_rest_to_the_one_who_came_after(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    told, other, third = Alarms(alerting), Alarms(alerting), Alarms(alerting)
    look(told, clock)
    for number in range(3):
        change(alerting, source, number)
    slow = services[0]

    def come() -> None:
        clock.forward(LEASE.total_seconds())
        slow.meanwhile = None
        other.tell(other._addresses[0])

    slow.meanwhile = come
    told.tell(told._addresses[0])
    third.tell(third._addresses[0])
    # That one message was told twice: no lease lasts for ever, since who has it may have been killed.
    assert sorted(message["message"].split()[1] for message in slow.got) == ["FT0", "FT0", "FT1", "FT2"]


def test_a_service_that_fails_or_hangs_holds_up_neither_the_worker_nor_another_one(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    broken, well = services
    told = Alarms(alerting)
    look(told, clock)
    broken.status = 500
    change(alerting, source, 1)
    look(told, clock)
    look(told, clock)
    assert (broken.got, len(well.got)) == ([], 1)
    broken.status = 200
    look(told, clock, 10)
    assert len(broken.got) == 1
    well.hanging.clear()
    change(alerting, source, 2)
    clock.forward(LOOKED_EVERY.total_seconds())
    told.look()
    told._at_work[told._addresses[0].digest].result()
    assert (len(broken.got), len(well.got)) == (2, 1)
    well.hanging.set()
    told.wait()


def test_what_waits_is_told_once_the_keys_are_changed(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    look(Alarms(alerting), clock)
    services[0].status = 500
    change(alerting, source, 1)
    new = SecretStr(base64.urlsafe_b64encode(bytes(32)).decode())
    for keys in ((new, SecretStr(KEY)), (new,)):
        changed = alerting.settings.model_copy(update={"secret_keys": keys})
        told = Alarms(replace(alerting, settings=changed))
        look(told, clock)
        change(alerting, source, len(keys) + 1)
        look(told, clock)
    services[0].status = 200
    look(told, clock, PAUSE_MAX.total_seconds())
    numbers = [[message["message"].split()[1] for message in service.got] for service in services]
    assert numbers == [["FT1", "FT3", "FT2"]] * 2


def test_old_news_is_not_told(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    told = Alarms(alerting)
    look(told, clock)
    change(alerting, source, 1)
    clock.forward(NEWS_FOR.total_seconds())
    look(told, clock)
    change(alerting, source, 2)
    look(told, clock)
    assert ["FT2" in message["message"] for message in services[0].got] == [True]


@pytest.mark.parametrize(
    ("kind", "about", "detail", "lines"),
    [
        (
            "amount_differs",
            "event",
            "the callback claims 1234.56 USD, and the bank has 1200.00 USD",
            ["event FT1 of bcb: amount differs"],
        ),
        (
            "unknown_to_bank",
            "reference",
            "the bank does not know it",
            ["reference of bcb: unknown to bank", "the bank does not know it"],
        ),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_amount_and_no_words_of_a_payer_are_told(
    alerting: Runtime,
    source: SourceRecord,
    services: list[Service],
    clock: StandingClock,
    kind: str,
    about: str,
    detail: str,
    lines: list[str],
) -> None:
    told = Alarms(alerting)
    look(told, clock)
    change(alerting, source, 1, kind=kind, about=about, detail=detail)
    change(alerting, source, 1, alarms.RESOLVED, kind=kind, about=about, detail=detail)
    look(told, clock)
    for message in services[0].got:
        *said, page = message["message"].splitlines()
        assert (said, page.rpartition("/")[2]) == (lines, "exc_1")
    assert len(services[0].got) == 2


def test_what_a_replay_brings_once_more_is_not_told_again(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    told = Alarms(alerting)
    look(told, clock)
    change(alerting, source, 1)
    look(told, clock)
    change(alerting, source, 2)
    for number in range(alarms.AT_ONCE + 3):
        change(alerting, source, number)
    with alerting.database.write() as connection:
        connection.execute(text("UPDATE feed_entries SET replay_id = 'rpl_1' WHERE position > 2"))
    change(alerting, source, 99)
    for _ in range(2):
        look(told, clock)
    assert ["FT99" in message["message"] for message in services[0].got] == [False, False, True]
    change(alerting, source, 100)
    with alerting.database.write() as connection:
        connection.execute(text("UPDATE feed_entries SET replay_id = 'rpl_1' WHERE subject = 'FT100'"))
    look(told, clock)
    assert len(services[0].got) == 3
    assert len({each.position for each in positions(alerting, told)} | {alarms.AT_ONCE + 7}) == 1


def test_what_retention_removes_stops_no_alarm(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    told = Alarms(alerting)
    look(told, clock)
    for number in (1, 2):
        change(alerting, source, number, OwnType.PAYMENT_RECOVERED)
    look(told, clock)
    # What is not told is passed over, so that its removal is of no account.
    assert [each.position for each in positions(alerting, told)] == [2, 2]
    change(alerting, source, 3, OwnType.PAYMENT_RECOVERED)
    change(alerting, source, 4)
    with alerting.database.write() as connection:
        connection.execute(text("DELETE FROM feed_entries WHERE position <= 3"))
        feed.note_removed(connection, 3)
    look(told, clock)
    assert services[0].titles == services[1].titles == ["[high] contradicted: bcb"]


def test_a_worker_that_was_killed_amid_a_message_is_followed_by_another_one(
    alerting: Runtime, source: SourceRecord, services: list[Service], clock: StandingClock
) -> None:
    told = Alarms(alerting)
    look(told, clock)
    change(alerting, source, 1)
    with alerting.database.write() as connection:
        for address in told._addresses:
            known = alarms.progress(connection, address.digest)
            assert known is not None
            assert alarms.claim(connection, address.digest, known.position, clock(), clock() + LEASE)
    look(told, clock)
    assert services[0].got == []
    look(told, clock, LEASE.total_seconds())
    assert len(services[0].got) == 1


def test_a_worker_whose_lease_ran_out_ends_no_other_s(alerting: Runtime, clock: StandingClock) -> None:
    def claim() -> bool:
        with alerting.database.write() as connection:
            return alarms.claim(connection, "one", 0, clock(), clock() + LEASE)

    with alerting.database.write() as connection:
        alarms.begin(connection, "one")
    late = clock() + LEASE
    assert claim()
    clock.forward(LEASE.total_seconds())
    assert claim()
    with alerting.database.write() as connection:
        alarms.give_back(connection, "one", late)
        alarms.put_off(connection, "one", late, 3, clock())
        found = alarms.progress(connection, "one")
    assert found == (0, clock() + LEASE, 0, None)
    with alerting.database.write() as connection:
        alarms.give_back(connection, "one", clock() + LEASE)
    assert claim()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_address_is_shown_or_stored(
    alerting: Runtime,
    source: SourceRecord,
    services: list[Service],
    clock: StandingClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    services[0].status = 500
    told = Alarms(alerting)
    look(told, clock)
    change(alerting, source, 1)
    look(told, clock)
    assert "address 1 of RECEIVER_ALERT_URLS was not reached" in caplog.text
    assert PASSWORD not in caplog.text
    assert PASSWORD not in repr(alerting.settings)
    with alerting.database.read() as connection:
        stored = connection.exec_driver_sql("SELECT address FROM alarm_progress").scalars().all()
    assert all(PASSWORD not in each and str(services[0].port) not in each for each in stored)


def read(urls: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("RECEIVER_ALERT_URLS", urls)
    settings = Settings(_env_file=None, secret_keys=KEY)
    return [url.get_secret_value() for url in settings.alert_urls]


def test_addresses_are_divided_by_commas_or_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("json://a, json://b\tmailto://c?to=x@y,z@y", monkeypatch) == [
        "json://a",
        "json://b",
        "mailto://c?to=x@y,z@y",
    ]
    assert read("", monkeypatch) == []


def test_an_address_that_is_none_stops_the_worker_and_is_not_repeated(parts: Runtime) -> None:
    urls = (SecretStr("json://127.0.0.1/"), SecretStr(f"nonsense://{PASSWORD}"))
    wrong = replace(parts, settings=parts.settings.model_copy(update={"alert_urls": urls}))
    with pytest.raises(SettingsError, match="RECEIVER_ALERT_URLS is wrong \\(number 2") as raised:
        Alarms(wrong)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        (f"mailto://u:{PASSWORD}@mail.example.com?to=a@example.com,gone@example.com", False),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops/#archived", False),
        (f"mailto://u:{PASSWORD}@mail.example.com?to=a@example.com&cc=b@example.com", True),
        (f"mailto://u:{PASSWORD}@mail.example.com?to=a@example.com&retry=2", True),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops", True),
    ],
)
def test_an_address_has_one_recipient(parts: Runtime, url: str, is_taken: bool) -> None:
    given = replace(parts, settings=parts.settings.model_copy(update={"alert_urls": (SecretStr(url),)}))
    if is_taken:
        Alarms(given)
        return
    with pytest.raises(SettingsError, match="number 1 has several recipients") as raised:
        Alarms(given)
    assert PASSWORD not in str(raised.value)
