"""`receiver db`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from bank import BankSigner, deposit
from cli.commands import Cli, Send
from conftest import KEY, make_token
from flask.testing import FlaskClient
from servers import ROOT
from sqlalchemy import text

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.settings.database_url import PARAMETERS
from receiver.web import create_app

FEED = "/api/v1/feed"
LEDGER = "/api/v1/consumers/ledger"


def test_upgrading_again_says_that_nothing_was_left_to_do(cli: Cli) -> None:
    assert "already" in cli.done("db", "upgrade")


def test_cursors_of_before_continue_at_the_right_place_over_the_copy(
    cli: Cli, live: Runtime, web: FlaskClient, send: Send, signer: BankSigner, tmp_path: Path
) -> None:
    token = make_token(live)
    for number in range(4):
        send(signer.sign(deposit(transactionId=f"FT{number}")))
    plain = web.get(FEED, headers=token, query_string={"limit": 1}).get_json()["next"]
    own = web.get(f"{LEDGER}/feed", headers=token, query_string={"limit": 2}).get_json()["next"]
    web.post(f"{LEDGER}/ack", headers=token, json={"cursor": own})
    to = tmp_path / "copy.db"
    assert f"Wrote {to}" in cli.done("db", "backup", str(to))
    # The original goes on; the copy does not know of it.
    send(signer.sign(deposit(transactionId="later")))
    beyond = web.get(FEED, headers=token).get_json()["next"]
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=f"sqlite:///{to}")
    restored = runtime.start(settings)
    copy = create_app(restored).test_client()

    def positions(path: str, **query: object) -> list[int]:
        return [row["position"] for row in copy.get(path, headers=token, query_string=query).get_json()["data"]]

    assert positions(FEED, after=plain) == [2, 3, 4]
    assert positions(f"{LEDGER}/feed") == [3, 4]
    assert positions(f"{LEDGER}/feed", after=own) == [3, 4]
    # What was given out after the copy was made is refused, and never passed over in silence.
    assert copy.get(FEED, headers=token, query_string={"after": beyond}).status_code == 400
    restored.database.close()


def test_it_refuses_to_overwrite(cli: Cli, tmp_path: Path) -> None:
    to = tmp_path / "copy.db"
    to.write_text("precious")
    result = cli.run("db", "backup", str(to))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "exists already" in result.stderr
    assert to.read_text() == "precious"


def test_postgresql_has_pg_dump(cli: Cli, empty_postgres_url: str, tmp_path: Path) -> None:
    assert cli.process("db", "upgrade", RECEIVER_DATABASE_URL=empty_postgres_url).returncode == 0
    ended = cli.process("db", "backup", str(tmp_path / "copy"), RECEIVER_DATABASE_URL=empty_postgres_url)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"pg_dump" in ended.stderr
    assert list(tmp_path.glob("copy*")) == []


@pytest.mark.parametrize("words", [*map(str.split, ("run", "worker", "doctor", "db upgrade")), None], ids=str)
def test_over_tables_of_a_newer_release_all_end_with_one_line(cli: Cli, live: Runtime, words: list[str] | None) -> None:
    with live.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    if words is None:
        command = [sys.executable, "app.py"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    else:
        ended = cli.process(*words)
    (line,) = ended.stderr.decode().splitlines()
    assert ended.returncode == 1
    assert "the database is at revision 9999" in line
    assert "run the newer release" in line


SECRET = [name for name in PARAMETERS if re.search("password$|secret|_key$", name)]


@pytest.mark.parametrize("name", sorted(SECRET))
def test_a_url_with_a_secret_in_it_is_not_taken_from_the_command_line(cli: Cli, name: str) -> None:
    assert len(SECRET) == 5
    result = cli.run("db", "copy", "--to", f"postgresql+psycopg://u@127.0.0.1/x?{name}=hidden")
    assert result.exit_code == 2
    assert "can be seen by others" in result.stderr
    assert "hidden" not in result.output
