"""kill -9 of the web server and of the database amid callbacks.

Nothing that was answered 2xx is lost or doubled, and readers miss nothing and go on where they were.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from bank import BankSigner
from conftest import make_token
from drills.ledger import assert_each_once, assert_whole, read_feed
from drills.postgres import OwnPostgres
from drills.readers import Consumer, Follower, assert_continues, reading
from drills.senders import Senders
from servers import WebServer

from receiver.runtime import Runtime


def drill(
    server: WebServer, parts: Runtime, bank: BankSigner, *, callbacks: int, kills: Sequence[Callable[[], None]]
) -> None:
    """Send `callbacks` from several threads, with kills and restarts in between, then count."""
    token = make_token(parts)
    started = time.monotonic()
    follower, consumer = Follower(server.url, token), Consumer(server.url, token)
    with reading(callbacks, follower, consumer), Senders(server.url, bank, range(callbacks)) as senders:
        for number, kill in enumerate(kills, start=1):
            senders.wait_for(callbacks * number // (len(kills) + 1))
            kill()
        results = senders.results()
    seconds = time.monotonic() - started
    parts.database.close()
    entries = read_feed(server.url, token)
    doubled = assert_each_once(parts, results, entries)
    eventids = [str(entry["eventid"]) for entry in entries]
    assert follower.seen == eventids
    assert consumer.seen == eventids
    assert_continues(server.url, token, follower.cursors, eventids)
    assert_whole(parts)
    again = sum(sent.attempts > 1 for sent in results)
    told = Counter(sent.status for sent in results)
    print(
        f"{parts.database.engine.dialect.name}: {len(results)} answered 2xx ({told['accepted']} accepted, "
        f"{told['duplicate']} duplicate), {len(kills)} kills, {again} sent again, {doubled} doubled, the consumer was "
        f"given {consumer.again} again, {len(follower.cursors)} cursors still good, {seconds:.1f} s"
    )


def restarted(killed: WebServer | OwnPostgres) -> Callable[[], None]:
    def kill_and_start() -> None:
        killed.kill()
        killed.start()

    return kill_and_start


def test_two_kills_amid_200_callbacks_lose_and_double_nothing(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    drill(server, live, live_bank, callbacks=200, kills=[restarted(server)] * 2)


def test_killing_the_database_amid_200_callbacks_loses_and_doubles_nothing(
    own_postgres: OwnPostgres, own_server: WebServer, own_parts: Runtime, live_bank: BankSigner
) -> None:
    drill(own_server, own_parts, live_bank, callbacks=200, kills=[restarted(own_postgres)])


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_ten_kills_amid_2000_callbacks_lose_and_double_nothing(
    server: WebServer, live: Runtime, live_bank: BankSigner
) -> None:
    drill(server, live, live_bank, callbacks=2000, kills=[restarted(server)] * 10)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_ten_kills_of_server_and_database_by_turns_lose_and_double_nothing(
    own_postgres: OwnPostgres, own_server: WebServer, own_parts: Runtime, live_bank: BankSigner
) -> None:
    kills = [restarted(own_postgres), restarted(own_server)] * 10
    drill(own_server, own_parts, live_bank, callbacks=2000, kills=kills)
