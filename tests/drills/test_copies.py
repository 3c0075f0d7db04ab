"""A copy of the database, taken while it is written to: cursors given before it continue on it at the right place."""

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, make_token
from drills.ledger import read_feed
from drills.postgres import OwnPostgres, new_cluster
from drills.readers import Consumer, Follower, assert_continues, reading
from drills.senders import Senders
from servers import RECEIVER, WebServer, environment

from receiver.runtime import Runtime

CALLBACKS = 150


def drill(server: WebServer, parts: Runtime, bank: BankSigner, copied: Callable[[], str]) -> None:
    """Take the copy amid callbacks; `copied` returns its URL."""
    token = make_token(parts)
    before, consumer = Follower(server.url, token), Consumer(server.url, token)
    with Senders(server.url, bank, range(50)) as senders:
        senders.results()
    with reading(50, before, consumer):
        pass
    with Senders(server.url, bank, range(50, CALLBACKS), threads=2) as senders:
        senders.wait_for(20)
        url = copied()
        senders.wait_for(CALLBACKS - 50)
    eventids = [str(entry["eventid"]) for entry in read_feed(server.url, token)]
    parts.database.close()
    server.stop()
    copy = WebServer(environment(url, KEY, RECEIVER_LOG_LEVEL="WARNING")).start()
    try:
        kept = [str(entry["eventid"]) for entry in read_feed(copy.url, token)]
        assert 50 < len(kept) <= CALLBACKS
        # What was committed while the copy was made may get its position on each side, in an order of its own.
        assert kept[:50] == eventids[:50]
        assert set(kept) <= set(eventids)
        assert_continues(copy.url, token, before.cursors, kept)
        signed = bank.sign(deposit(transactionId="after"))
        answer = requests.post(copy.url + signed.path, data=signed.body, headers=signed.headers, timeout=30).json()
        kept += answer["events"]
        consumer.url = before.url = copy.url
        with reading(len(kept), before, consumer):
            pass
        assert before.seen == kept
        assert consumer.seen == kept
    finally:
        copy.stop()


def test_a_restored_dump_continues_where_its_readers_were(
    own_postgres: OwnPostgres,
    own_server: WebServer,
    own_parts: Runtime,
    live_bank: BankSigner,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    with ExitStack() as stack:

        def copied() -> str:
            own_postgres.dump(folder / "dump")
            another = stack.enter_context(new_cluster(folder / "data"))
            another.restore(folder / "dump")
            return another.url

        drill(own_server, own_parts, live_bank, copied)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backup_of_sqlite_continues_where_its_readers_were(
    server: WebServer, live: Runtime, live_bank: BankSigner, tmp_path: Path
) -> None:
    def copied() -> str:
        command = [*RECEIVER, "db", "backup", str(tmp_path / "copy.db")]
        served = environment(live.settings.database_url, KEY)
        subprocess.run(command, env={**os.environ, **served}, check=True, capture_output=True, timeout=60)
        return f"sqlite:///{tmp_path}/copy.db"

    drill(server, live, live_bank, copied)
