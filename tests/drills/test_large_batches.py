"""The largest callback that a bank sends: held in few copies, while other banks' callbacks are answered."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from bank import BankSigner, deposit
from conftest import add_encrypting_source
from drills.memory import peak_bytes, reset_peak
from encrypting_bank import EncryptingBank, batch, notification, payment
from servers import WebServer

from receiver.runtime import Runtime

MIB = 1024 * 1024
RISE_MAX = 250 * MIB


def large_batch(size: int, filler: str, notifications: int = 1000) -> str:
    """A batch whose text takes about `size` bytes as UTF-16."""
    units = len(filler.encode("utf-16-le")) // 2
    bare = len(batch([notification(payment=payment("0" * 36)) for _ in range(notifications)]))
    padding = filler * ((size // 2 - bare - 200 * notifications) // notifications // units)
    return batch(
        [
            notification(payment=payment(f"{number:036d}", additional={"line": padding, "line2": "ü"}))
            for number in range(notifications)
        ]
    )


def send_beside_others(server: WebServer, signed_text: str, live_bank: BankSigner) -> tuple[int, int, list[int]]:
    """Send a large batch while another bank sends; return bytes sent, rise of the peak, the other's status codes.

    The body is counted in all that: the server holds it once as it came, beside its text in one form or another.
    """
    signed = EncryptingBank().sign(signed_text)
    small = live_bank.sign(deposit(transactionId="warm"))
    requests.post(server.url + small.path, data=small.body, headers=small.headers, timeout=30)
    reset_peak(server)
    before = peak_bytes(server)
    done = threading.Event()

    def keep_sending() -> list[int]:
        statuses: list[int] = []
        while not done.is_set():
            signed = live_bank.sign(deposit(transactionId=f"FT{len(statuses)}"))
            answer = requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=30)
            statuses.append(answer.status_code)
        return statuses

    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(keep_sending)
        try:
            answer = requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60)
        finally:
            done.set()
        statuses = others.result()
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["events"]) == 1000
    return len(signed.body), peak_bytes(server) - before, statuses


def test_a_batch_of_10_mb_is_taken_while_others_are_answered(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    add_encrypting_source(live)
    size, rise, statuses = send_beside_others(server, large_batch(10 * MIB, "x"), live_bank)
    print(f"{live.database.engine.dialect.name}: {size / MIB:.1f} MiB sent, {rise / MIB:.0f} MiB more at most")
    assert set(statuses) == {200}
    assert rise < RISE_MAX / 5 + 20 * MIB


@pytest.mark.drill
@pytest.mark.parametrize("filler", ["x", "請", "💶", "x" * 60 + "💶"], ids=["ascii", "cjk", "astral", "mixed"])
def test_a_batch_of_50_mb_takes_less_than_250_mb_while_others_are_answered(
    server: WebServer, live: Runtime, live_bank: BankSigner, filler: str
) -> None:
    add_encrypting_source(live)
    size, rise, statuses = send_beside_others(server, large_batch(50 * MIB, filler), live_bank)
    print(
        f"{live.database.engine.dialect.name}: {size / MIB:.1f} MiB sent, {rise / MIB:.0f} MiB more at most, "
        f"{len(statuses)} other callbacks answered meanwhile"
    )
    assert size > 45 * MIB
    assert set(statuses) == {200}
    assert rise < RISE_MAX
