"""What the operating system saw of one callback: it was on disk before the first byte of the 200 was written."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from bank import BankSigner, deposit
from drills.postgres import OwnPostgres
from servers import WebServer

CALLS = "fsync,fdatasync,write,pwrite64,writev,pwritev,sendto,sendmsg"
WRITES = re.compile(r"\b(write|pwrite64|writev|pwritev|sendto|sendmsg)\(")
SYNCS = re.compile(r"\b(fsync|fdatasync)\((.*?)\) += 0|<\.\.\. (fsync|fdatasync) resumed>.*= 0")
ANSWER = re.compile(r'"HTTP/1\.1 200')
STRING_BYTES = 100_000
"""Of what is written, strace shows so much: a page of SQLite's log and more."""
WAIT_SECONDS = 30


@contextmanager
def traced(pids: Sequence[int], into: Path) -> Iterator[None]:
    """Write down, in order, what these processes and all their threads write and sync."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    which = [word for pid in pids for word in ("-p", str(pid))]
    options = ["-f", "-q", "-y", "-s", str(STRING_BYTES), "-e", f"trace={CALLS}", "-o", str(into)]
    # It says on standard error when it has attached; -q would hide that, so the kernel is asked instead.
    tracer = subprocess.Popen(["strace", *options, *which], stderr=subprocess.PIPE)
    try:
        _wait(lambda: all(_is_traced(pid) for pid in pids) or tracer.poll() is not None)
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            pytest.skip(f"strace may not trace here: {tracer.stderr.read().decode().strip()}")
        yield
    finally:
        tracer.terminate()
        tracer.communicate(timeout=WAIT_SECONDS)


def _is_traced(pid: int) -> bool:
    tasks = list(Path(f"/proc/{pid}/task").glob("*/status"))
    return all(not re.search(r"^TracerPid:\s+0$", status.read_text(), re.MULTILINE) for status in tasks)


def _wait(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def send(server: WebServer, bank: BankSigner, payment_id: str) -> None:
    signed = bank.sign(deposit(transactionId=payment_id))
    answer = requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=30)
    assert answer.json()["status"] == "accepted"


def writes_to(log: str, lines: Sequence[str]) -> list[int]:
    """The numbers of the lines before the answer that write to the database's log."""
    return [number for number in range(answer_in(lines)) if WRITES.search(lines[number]) and log in lines[number]]


def answer_in(lines: Sequence[str]) -> int:
    return next(number for number, line in enumerate(lines) if ANSWER.search(line))


def assert_synced(lines: Sequence[str], written: int, log: str) -> None:
    """Between a write and the answer a sync of the same log has ended; where others came between, it was resumed."""
    answered = answer_in(lines)
    syncs = [line for line in lines[written:answered] if SYNCS.search(line) and (log in line or "resumed>" in line)]
    assert syncs, "nothing was synced between the write and the answer"
    print("\n".join(line[:160] for line in (lines[written], *syncs, lines[answered])))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_has_a_callback_on_disk_before_it_is_answered(
    server: WebServer, live_bank: BankSigner, tmp_path: Path
) -> None:
    send(server, live_bank, "FTwarm")
    assert server.process is not None
    with traced(family(server.process.pid), tmp_path / "trace"):
        send(server, live_bank, "FTtraced")
    lines = (tmp_path / "trace").read_text(errors="replace").splitlines()
    writes = writes_to("receiver.db-wal", lines)
    assert any("FTtraced" in lines[number] for number in writes)
    assert_synced(lines, writes[-1], "receiver.db-wal")


def test_postgresql_has_a_callback_on_disk_before_it_is_answered(
    own_postgres: OwnPostgres, own_server: WebServer, live_bank: BankSigner, tmp_path: Path
) -> None:
    send(own_server, live_bank, "FTwarm")
    assert own_server.process is not None
    pids = [*family(own_server.process.pid), *family(own_postgres.pid)]
    with traced(pids, tmp_path / "trace"):
        send(own_server, live_bank, "FTtraced")
    lines = (tmp_path / "trace").read_text(errors="replace").splitlines()
    # Its other processes may write the same page of the log once more, and sync it later.
    first = next(number for number in writes_to("/pg_wal/", lines) if "FTtraced" in lines[number])
    assert_synced(lines, first, "/pg_wal/")
