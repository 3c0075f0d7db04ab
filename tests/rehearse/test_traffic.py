"""What a rehearsal takes for wrong: what is lost, doubled, wrongly answered, or accepted and forged."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from receiver.rehearse.banks import Made, StandardWebhooks
from receiver.rehearse.day import Planned
from receiver.rehearse.traffic import Reader, Sent, Traffic, missing
from receiver.simulator.outbox import Callback

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
    bank = StandardWebhooks()
    traffic = Traffic({"shop": bank}, url, 0)
    traffic.start(time.monotonic())
    traffic.send(Planned(0, "shop", forged=forged), 0)
    ends = time.monotonic() + WAIT_SECONDS
    while len(traffic.answers) < tries:
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
    made = Made(Callback(b"", dict), "http://127.0.0.1:1/webhooks/shop", subjects)
    ids = tuple(f"evt_{subject}" for subject in subjects)
    return Sent(Planned(0, "shop"), 0, made, tries=1, taken_at=1.0, events=ids)


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
