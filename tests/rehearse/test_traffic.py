"""What a rehearsal takes for wrong: what is lost, doubled, wrongly answered, or accepted and forged."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from receiver.rehearse.banks import BankingCircle, RehearsedBank, StandardWebhooks
from receiver.rehearse.day import Planned
from receiver.rehearse.rehearsal import listed
from receiver.rehearse.traffic import REPEATABLE, Reader, Sent, Traffic, missing

WAIT_SECONDS = 60


@contextmanager
def answering(*statuses: int) -> Iterator[str]:
    """A receiver that answers these statuses one after the other, the last one for ever; its address."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = left.pop(0) if len(left) > 1 else left[0]
            body = b'{"status":"accepted","events":["evt_1"]}' if status == 200 else b"{}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            body = b'{"data": [{"kind": "rejected"}], "next": null}'
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def sent_to(url: str, tries: int, *, forged: bool = False) -> Traffic:
    """Send one callback until it was tried so often."""
    return sent_until(lambda traffic: len(traffic.answers) >= tries, url, Planned(0, "shop", forged=forged))


def sent_until(
    is_over: Callable[[Traffic], bool], url: str, *planned: Planned, bank: RehearsedBank | None = None
) -> Traffic:
    bank = bank or StandardWebhooks()
    traffic = Traffic({"shop": bank}, url, 0)
    for each in planned:
        traffic.send(each, 0)
    traffic.start(time.monotonic())
    ends = time.monotonic() + WAIT_SECONDS
    while not is_over(traffic):
        assert time.monotonic() < ends
        time.sleep(0.01)
    traffic.stop()
    bank.simulator.close()
    return traffic


def test_a_callback_is_sent_again_until_it_is_taken() -> None:
    with answering(503, 503, 200) as url:
        traffic = sent_to(url, 3)
    (sent,) = traffic.sent
    assert [answer.status for answer in traffic.answers] == [503, 503, 200]
    assert (sent.tries, sent.events, traffic.open, traffic.wrong) == (3, ("evt_1",), 0, Counter())


def test_a_callback_that_is_taken_is_held_no_longer_but_what_it_is_about() -> None:
    with answering(200) as url:
        traffic = sent_until(lambda traffic: not traffic.open, url, *[Planned(0, "shop")] * (REPEATABLE + 50))
    assert [sent.made for sent in traffic.sent] == [None] * (REPEATABLE + 50)
    assert len({sent.subjects for sent in traffic.sent}) == REPEATABLE + 50
    assert len(traffic._earlier["shop"]) == REPEATABLE


def test_what_the_bank_sends_twice_is_the_same() -> None:
    twice = [Planned(0, "shop"), Planned(0, "shop", repeats=True)]
    with answering(200) as url:
        traffic = sent_until(lambda traffic: not traffic.open, url, *twice)
    first, again = traffic.sent
    assert first.subjects == again.subjects


def test_a_callback_that_can_not_be_made_is_wrong_and_not_waited_for() -> None:
    more_than_a_batch = Planned(0, "shop", ("",) * 1001)
    traffic = sent_until(
        lambda traffic: not traffic.open, "http://127.0.0.1:1", more_than_a_batch, bank=BankingCircle()
    )
    ((said, number),) = traffic.wrong.items()
    assert (said.startswith("the rehearsal itself failed: ValueError: "), number) == (True, 1)
    assert traffic.answers == []


@pytest.mark.parametrize("status", [500, 404, 400, 401])
def test_a_genuine_callback_that_is_answered_so_is_wrong(status: int) -> None:
    with answering(status, 200) as url:
        traffic = sent_to(url, 2)
    assert traffic.wrong == {f"a genuine callback of shop was answered {status}": 1}


@pytest.mark.parametrize("status", [200, 500, 404])
def test_a_forged_callback_that_is_answered_so_is_wrong(status: int) -> None:
    with answering(status) as url:
        traffic = sent_to(url, 1, forged=True)
    instead = "" if status == 200 else " instead of 401"
    assert list(traffic.wrong) == [f"a forged callback of shop was answered {status}{instead}"]


@pytest.mark.parametrize("status", [401, 503])
def test_a_forged_callback_that_is_refused_is_not(status: int) -> None:
    with answering(status) as url:
        traffic = sent_to(url, 1, forged=True)
    assert (traffic.wrong, traffic.open) == (Counter(), 0)


def test_no_answer_is_not_the_answer_that_nothing_is_open() -> None:
    with answering(503, 200) as url:
        assert listed(url, "token", "exceptions", "kind", {}) is None
        assert listed(url, "token", "exceptions", "kind", {}) == {"rejected": 1}
    assert listed("http://127.0.0.1:1", "token", "exceptions", "kind", {}) is None


def entry(position: int, subject: str = "a", **more: str) -> dict[str, Any]:
    return {
        "position": position,
        "source": "/sources/shop",
        "type": "standard_webhooks.payment",
        "subject": subject,
        "eventid": f"evt_{subject}",
        "data": {},
        **more,
    }


def taken(*subjects: str) -> Sent:
    """A callback that was answered 200 and is about these."""
    ids = tuple(f"evt_{subject}" for subject in subjects)
    return Sent(Planned(0, "shop"), 0, subjects=subjects, tries=1, taken_at=1.0, events=ids)


def reader(*entries: dict[str, Any]) -> Reader:
    made = Reader("http://127.0.0.1:1", "token")
    for each in entries:
        made._take(each)
    return made


def test_what_is_in_the_feed_once_is_neither_lost_nor_doubled() -> None:
    seen = reader(entry(1), entry(2, replayid="rpl_1"), entry(3, type="payment.status_changed"))
    assert missing([taken("a")], seen) == ([], [])
    assert (seen.replayed, seen.others, seen.wrong) == ({"rpl_1": 1}, {"payment.status_changed": 1}, {})


def test_what_is_not_in_the_feed_is_lost() -> None:
    lost, doubled = missing([taken("a", "b")], reader(entry(1)))
    assert (lost, doubled) == (["shop/b", "evt_b"], [])


def test_what_is_in_the_feed_twice_or_was_never_sent_is_doubled() -> None:
    seen = reader(entry(1), entry(2, eventid="evt_other"), entry(3, "never"))
    assert missing([taken("a")], seen) == ([], ["shop/a", "shop/never"])


def test_positions_that_do_not_ascend_are_wrong() -> None:
    assert reader(entry(2), entry(1)).wrong == {"the feed's positions did not ascend": 1}
