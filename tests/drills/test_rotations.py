"""Rotations of credentials under a stream of callbacks: none lost, none refused for good, none doubled, no secret told.

The bank is the simulator; it signs each callback with whatever secret it holds at that moment, and sends it again while
it is answered 503. Some rotations lose their answer, and in the long form some are killed and left to the worker.
"""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import KEY, add_source, make_token
from credentials.callbacks import assert_in_step, kept
from credentials.killing import DIES, STEPS
from drills.ledger import assert_whole, read_feed
from drills.searching import dump, found
from servers import RECEIVER, WebServer, environment, free_port
from sqlalchemy import select, update

from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.bcb.payments import Payment
from receiver.simulator.faults import Fault
from receiver.simulator.outbox import Delivery
from receiver.simulator.scripts import Script
from receiver.store import credential_changes, sources
from receiver.store.tables import CredentialChange, Event, table_of

PER_SECOND, PER_SECOND_SHORT = 100, 30
THREADS = 200
"""So many are under way at once, those included that were put off and are to be sent again."""

SETTLED_SECONDS = 300
"""In which some of what is left is dealt with, on a machine however busy: the worker has other things to do too."""

DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Seconds before a bank's further tries."""


@dataclass
class Stream:
    """The bank's callbacks, so many a second, until it is stopped."""

    simulator: Simulator
    per_second: int
    stopped: threading.Event = field(default_factory=threading.Event)
    stopped_when: float = 0
    answered: list[Future[Delivery]] = field(default_factory=list)

    def send(self) -> None:
        """Send them, each at its time, until stopped; return when all that were due by then are answered for good.

        Where the machine is too slow for the pace it slips: a callback that waited here would be signed too late to
        say anything.
        """
        started = time.monotonic()
        free = threading.Semaphore(THREADS)
        with ThreadPoolExecutor(THREADS) as pool:
            while not self.stopped.is_set() or started + len(self.answered) / self.per_second < self.stopped_when:
                time.sleep(max(0.0, started + len(self.answered) / self.per_second - time.monotonic()))
                free.acquire()
                future = pool.submit(self._tell, f"FT{len(self.answered)}")
                future.add_done_callback(lambda _: free.release())
                self.answered.append(future)

    def stop(self) -> None:
        """Let no more become due."""
        self.stopped_when = time.monotonic()
        self.stopped.set()

    def _tell(self, payment_id: str) -> Delivery:
        bank = self.simulator.bank
        deposit = Payment(payment_id, "1046406142", Decimal("1.00"), "USD", Script.of(("Completed", 0)), bank.clock())
        bank.add_payment(deposit)
        (delivery,) = bank.outbox.send(bank.deposit_message(deposit))
        return delivery


@dataclass
class Operator:
    """Rotates by the command line, and keeps all that it writes."""

    parts: Runtime
    simulator: Simulator
    served: dict[str, str]
    output: bytes = b""
    secrets: set[str] = field(default_factory=lambda: {KEY})

    def rotate(self, how: str) -> None:
        """Rotate `plain`ly, with the answer `lost`, or with the command `killed`, which the worker then finishes."""
        if how == "lost":
            # Twice, so that callbacks come in between on a slow machine too.
            self.simulator.faults.add(Fault("truncated", path="/v1/credentials*", count=2))
        if how == "killed":
            killed = self._run(sys.executable, "-c", DIES.replace("STEP", STEPS["after the answer"]))
            assert killed.returncode == -signal.SIGKILL
            with self.parts.database.write() as connection:
                # As if the head start of the killed one were over.
                connection.execute(update(table_of(CredentialChange)).values(due_at=self.parts.clock()))
            self._wait_for_the_worker()
        ended = self._run(*RECEIVER, "credentials", "rotate", "bcb")
        assert ended.returncode == 0, ended.stderr
        self.note_secrets()

    def note_secrets(self) -> None:
        """Note every secret that the bank has given out by now."""
        client = self.simulator.bank.client
        self.secrets |= {client.client_secret, client.signing_secret, *self.simulator.bank.tokens.texts()}

    def _run(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        ended = subprocess.run(command, env=self.served, capture_output=True, timeout=60)
        self.output += ended.stdout + ended.stderr
        return ended

    def _wait_for_the_worker(self) -> None:
        ends = time.monotonic() + SETTLED_SECONDS
        while True:
            with self.parts.database.read() as connection:
                source = sources.find(connection, "bcb")
                if source is not None and credential_changes.pending(connection, source.id) is None:
                    return
            assert time.monotonic() < ends, "the worker has not finished the rotation"
            time.sleep(0.1)


@contextmanager
def bank(port: int) -> Iterator[Simulator]:
    """A bank whose receiver listens on this port."""
    config = Config(
        rate_limit=0,
        client_secret="a-client-secret-of-the-drill",
        callback_url=f"http://127.0.0.1:{port}/webhooks/bcb",
        retry_delays=DELAYS,
    )
    with Simulator(config) as simulator:
        yield simulator


@contextmanager
def receiver(served: dict[str, str], port: int, folder: Path) -> Iterator[WebServer]:
    """A web server and a worker that log all that they can."""
    web = WebServer(served, port=port, output=folder / "web.log").start()
    with open(folder / "worker.log", "wb") as log:
        worker = subprocess.Popen([*RECEIVER, "worker"], env=served, stdout=log, stderr=log)
    try:
        yield web
    finally:
        worker.terminate()
        worker.wait(40)
        web.stop()


def drill(parts: Runtime, folder: Path, *, every_seconds: float, per_second: int, rotations: Sequence[str]) -> None:
    port = free_port()
    served = environment(parts.settings.database_url, KEY, RECEIVER_LOG_LEVEL="DEBUG")
    with bank(port) as simulator:
        set_up(parts, simulator)
        operator, stream = Operator(parts, simulator, served), Stream(simulator, per_second)
        operator.note_secrets()
        with receiver(served, port, folder) as web, ThreadPoolExecutor(1) as pool:
            sending = pool.submit(stream.send)
            try:
                for how in rotations:
                    time.sleep(every_seconds)
                    operator.rotate(how)
                time.sleep(every_seconds)
            finally:
                stream.stop()
            sending.result()
            wait_until_settled(parts)
            entries = read_feed(web.url, make_token(parts))
        operator.note_secrets()
        assert simulator.bank.credentials.done["rotated"] == len(rotations)
        assert_in_step(parts, simulator)
        deliveries = [future.result() for future in stream.answered]
    put_off, again = assert_all_taken_once(parts, deliveries, entries)
    assert put_off, "no callback came while a rotation was unfinished: this proves nothing"
    logs = {file.name: file.read_bytes() for file in folder.glob("*.log")} | {"commands": operator.output}
    assert all(logs[name] for name in ("web.log", "worker.log"))
    parts.database.close()
    places = dump(parts.database) | logs
    assert found(operator.secrets, places) == []
    assert_whole(parts)
    print(
        f"{parts.database.engine.dialect.name}: {len(deliveries)} callbacks at {rate(deliveries):.0f}/s during "
        f"{len(rotations)} rotations, {put_off} put off with 503, {again} of them told as duplicate, none refused, "
        f"lost or doubled; {len(operator.secrets)} secrets and tokens in none of "
        f"{sum(map(len, places.values())) / 1e6:.1f} MB of database and log"
    )


def rate(deliveries: Sequence[Delivery]) -> float:
    """How many callbacks a second were sent for the first time."""
    first = sorted(delivery.attempts[0].at for delivery in deliveries)
    return len(first) / (first[-1] - first[0]).total_seconds()


def set_up(parts: Runtime, simulator: Simulator) -> None:
    source = add_source(parts, base_url=simulator.url, requests_per_window=1_000_000)
    client = simulator.bank.client
    with parts.database.write() as connection:
        credentials = {"client_id": client.client_id, "client_secret": client.client_secret}
        sources.set_credentials(connection, parts.encryption, source, credentials)


def wait_until_settled(parts: Runtime) -> None:
    """Wait for as long as fewer and fewer are left: on a busy machine there are many, and each takes its time."""
    left, ends = len(kept(parts)), time.monotonic() + SETTLED_SECONDS
    while waiting := kept(parts):
        if len(waiting) < left:
            left, ends = len(waiting), time.monotonic() + SETTLED_SECONDS
        assert time.monotonic() < ends, waiting
        time.sleep(0.1)


def assert_all_taken_once(
    parts: Runtime, deliveries: Sequence[Delivery], entries: Sequence[dict[str, object]]
) -> tuple[int, int]:
    """Each callback was answered 2xx in the end, and never anything but 503 before; each is there and in the feed once.

    Return how many were put off, and how many of these had been taken from what was kept when they came again.
    """
    answers = {delivery.message.subject: [attempt.status for attempt in delivery.attempts] for delivery in deliveries}
    assert [subject for subject, seen in answers.items() if seen[-1] != 200 or set(seen[:-1]) - {503}] == []
    events = table_of(Event)
    with parts.database.read() as connection:
        told = Counter(connection.execute(select(events.c.payment_id)).scalars())
    assert told == Counter(dict.fromkeys(answers, 1))
    deposits = Counter(str(entry["subject"]) for entry in entries if entry["type"] == "bcb.deposit")
    assert deposits == Counter(dict.fromkeys(answers, 1))
    put_off = [delivery for delivery in deliveries if len(delivery.attempts) > 1]
    return len(put_off), sum(b"duplicate" in delivery.answer for delivery in put_off)


@pytest.mark.timeout(900)
def test_two_rotations_under_callbacks_lose_refuse_and_double_nothing(live: Runtime, tmp_path: Path) -> None:
    drill(live, tmp_path, every_seconds=0.5, per_second=PER_SECOND_SHORT, rotations=["plain", "lost"])


@pytest.mark.drill
@pytest.mark.timeout(1200)
def test_ten_rotations_under_callbacks_lose_refuse_and_double_nothing(live: Runtime, tmp_path: Path) -> None:
    rotations = ["plain", "lost", "plain", "killed", "lost"] * 2
    drill(live, tmp_path, every_seconds=1, per_second=PER_SECOND, rotations=rotations)
