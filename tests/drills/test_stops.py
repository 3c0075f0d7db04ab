"""SIGTERM amid callbacks: what was taken in is finished, and nobody who sent a request is left without an answer."""

import time
from collections import Counter

import pytest
from bank import BankSigner
from drills.hurried import hurrying
from servers import WebServer
from sqlalchemy import select

from receiver.runtime import Runtime
from receiver.store.tables import Event, table_of

GRACE_SECONDS = 30


def drill(server: WebServer, parts: Runtime, bank: BankSigner, *, stops: int, callbacks: int) -> None:
    """Stop the server amid callbacks, look at what the senders got, and start it again."""
    answered: list[str] = []
    for turn in range(stops):
        with hurrying(server.port, bank, turn=turn) as senders:
            while len(senders.answered) < callbacks:
                time.sleep(0.01)
            started = time.monotonic()
            assert server.process is not None
            server.process.terminate()
            assert server.process.wait(GRACE_SECONDS) == 0
            print(f"stopped in {time.monotonic() - started:.2f} s, {len(senders.answered)} answered")
        assert senders.cut == []
        # Nobody can take in what the system opens between the last look and the close; its sender sends again.
        assert len(senders.not_taken_in) <= 2
        answered += senders.answered
        server.start()
    with parts.database.read() as connection:
        stored = Counter(connection.execute(select(table_of(Event).c.id)).scalars())
    assert Counter(answered) == stored


def test_a_stop_amid_callbacks_answers_and_keeps_all_that_were_sent(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    drill(server, live, live_bank, stops=1, callbacks=200)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_twenty_stops_amid_callbacks_answer_and_keep_all_that_were_sent(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    drill(server, live, live_bank, stops=20, callbacks=300)
