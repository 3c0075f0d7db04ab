"""A day at the simulated bank, of whose callbacks not all come, and not all are true."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from conftest import StandingClock
from werkzeug.serving import WSGIRequestHandler, make_server

from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.scripts import Script
from receiver.web import create_app

ACCOUNT = "1046406142"
DAY_SECONDS = 86400


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@contextmanager
def listening(parts: Runtime, source: str = "bcb") -> Iterator[str]:
    """Take callbacks over HTTP, in a thread of this process; yield the address of a source."""
    server = make_server("127.0.0.1", 0, create_app(parts), threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks/{source}"
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Fates:
    """What becomes of the callbacks of a day, in numbers; all others come once, and say what is so."""

    payments: int
    dropped: int = 0
    doubled: int = 0
    after_final: int = 0
    """Come hours later, when the bank's state has long been final."""
    other_amount: int = 0
    denied: int = 0
    """Claim payments that the bank does not know; they are none of `payments`."""
    day_later: int = 0


def of(payments: int) -> Fates:
    """Return the day of a thousand payments, or the same in a smaller measure."""
    dropped, doubled, after_final, other_amount, denied, day_later = (
        max(1, round(payments / 1000 * each)) for each in (100, 50, 50, 20, 30, 10)
    )
    return Fates(payments, dropped, doubled, after_final, other_amount, denied, day_later)


class BankDay:
    """Plays such a day, its payments even in time; each has one of the fates."""

    def __init__(self, simulator: Simulator, clock: StandingClock, fates: Fates) -> None:
        self._simulator = simulator
        self._clock = clock
        names = [f"FT{number:05d}" for number in range(fates.payments)]
        step = iter(names[::7] + [name for index, name in enumerate(names) if index % 7])
        self.dropped, self.doubled, self.after_final, self.other_amount, self.day_later = (
            [next(step) for _ in range(number)]
            for number in (fates.dropped, fates.doubled, fates.after_final, fates.other_amount, fates.day_later)
        )
        self.denied = [f"NONE{number:05d}" for number in range(fates.denied)]
        self.payments = names

    def play(self, meanwhile: Callable[[], object], hours: float = 1) -> None:
        """Let the day pass; `meanwhile` is what is done each time that so many hours have passed."""
        each = DAY_SECONDS / len(self.payments)
        until = self._clock.now
        for number, name in enumerate(self.payments):
            self._clock.forward(each)
            self._take_up(name)
            if number < len(self.denied):
                self._tell(self._payment(self.denied[number]))
            if (self._clock.now - until).total_seconds() >= hours * 3600:
                until = self._clock.now
                meanwhile()
        meanwhile()

    def tell_late(self, names: list[str]) -> None:
        """Send the callbacks that have not come."""
        for name in names:
            self._tell(self.known(name))

    def _take_up(self, name: str) -> None:
        payment = self._payment(name)
        self._simulator.bank.add_payment(payment)
        if name in self.dropped or name in self.after_final or name in self.day_later:
            return
        if name in self.other_amount:
            payment = self._payment(name, Decimal("999.99"))
        for _ in range(2 if name in self.doubled else 1):
            self._tell(payment)

    def _payment(self, name: str, amount: Decimal = Decimal("1000.00")) -> Payment:
        return Payment(name, ACCOUNT, amount, "USD", Script.of(("Pending", 60), ("Completed", 0)), self._clock())

    def known(self, name: str) -> Payment:
        """Return a payment as the bank knows it."""
        found = self._simulator.bank.payments.get(name)
        assert found is not None
        return found

    def _tell(self, payment: Payment) -> None:
        # None is sent where the subscription is switched off.
        for sent in self._simulator.outbox.send(self._simulator.bank.deposit_message(payment)):
            assert sent.accepted, sent.answer
