"""A bank that does not give up: each callback is sent again, over a new connection, until it is answered 2xx."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType

import requests
from bank import BankSigner, deposit

THREADS = 8
PAUSE_SECONDS = 0.05
GIVE_UP_SECONDS = 120


@dataclass
class Sent:
    """One callback's way to its 2xx."""

    number: int
    status: str
    events: list[str]
    attempts: int


@dataclass
class Senders:
    """Sends deposits `first` to `last` from several threads; a context, so that no thread outlives the drill."""

    url: str
    bank: BankSigner
    numbers: Sequence[int]
    threads: int = THREADS
    path: str = "/webhooks/bcb"
    refusals: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    _answered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _futures: list[Future[Sent]] = field(default_factory=list)

    def __enter__(self) -> "Senders":
        self._pool = ThreadPoolExecutor(self.threads)
        self._futures = [self._pool.submit(self._deliver, number) for number in self.numbers]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    @property
    def answered(self) -> int:
        """How many callbacks were answered 2xx by now."""
        return self._answered

    def wait_for(self, answered: int) -> None:
        """Wait until so many were answered 2xx."""
        ends = time.monotonic() + GIVE_UP_SECONDS
        while self._answered < answered:
            assert time.monotonic() < ends, f"{self._answered} of {answered} were answered in time"
            time.sleep(0.002)

    def results(self) -> list[Sent]:
        """Wait for all, and return what each was answered."""
        return [future.result() for future in self._futures]

    def stop(self) -> list[Sent]:
        """Send no more; return what those were answered that came to their 2xx, once none is under way."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)
        ended = [future for future in self._futures if future.done() and not future.cancelled()]
        return [future.result() for future in ended if future.exception() is None]

    def _deliver(self, number: int) -> Sent:
        # Signed once: a retry is the identical delivery, as the banks do it.
        signed = self.bank.sign(deposit(transactionId=f"FT{number}"), self.path)
        ends = time.monotonic() + GIVE_UP_SECONDS
        attempts = 0
        while time.monotonic() < ends and not self._stopped.is_set():
            attempts += 1
            try:
                answer = requests.post(self.url + signed.path, data=signed.body, headers=signed.headers, timeout=30)
            except requests.RequestException:
                with self._lock:
                    self.unanswered += 1
                time.sleep(PAUSE_SECONDS)
                continue
            if answer.ok:
                with self._lock:
                    self._answered += 1
                told = answer.json()
                return Sent(number, told["status"], told["events"], attempts)
            assert_asks_to_come_back(answer)
            with self._lock:
                self.refusals[answer.status_code] += 1
            time.sleep(PAUSE_SECONDS)
        raise AssertionError(f"callback {number} was not answered 2xx in {attempts} attempts")


def assert_asks_to_come_back(answer: requests.Response) -> None:
    """Whatever is wrong with the receiver, a bank hears 503, when to come back, and nothing that it takes for good."""
    assert answer.status_code == 503, (answer.status_code, answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 503
    assert int(answer.headers["Retry-After"]) > 0
