"""`receiver worker`, `receiver db`."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from bank import BankSigner, deposit
from cli.commands import Cli, Send
from conftest import KEY, add_source
from servers import RECEIVER, ROOT, environment

from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.store.sources import SourceRecord

STOPPED_IN_THE_MIDDLE = """
import os, signal, sys
from receiver.cli import main
from receiver.worker import loop

def at_each_line(frame, event, _):
    if event == "line":
        os.kill(os.getpid(), signal.SIGTERM)
    return at_each_line

def trace(frame, event, _):
    # The waiting between two rounds, and all that is called in it.
    while frame is not None:
        if frame.f_code.co_name == "wait" and frame.f_back is not None and frame.f_back.f_code is run.__code__:
            return at_each_line
        frame = frame.f_back

run = loop.Worker.run

def traced(self, stop):
    sys.settrace(trace)
    run(self, stop)

loop.Worker.run = traced
main(["worker"], prog_name="receiver")
"""


@pytest.fixture
def known(live: Runtime) -> Iterator[SourceRecord]:
    """The source `bcb`, whose bank is a simulator."""
    with Simulator() as simulator:
        url = f"{simulator.url}/_simulator/payments/FT2384654NXF6"
        requests.put(url, json={"script": [["Completed", 0]]}, timeout=60)
        yield add_source(live, base_url=simulator.url)


def test_once_does_what_is_due_and_ends(cli: Cli, send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit()))
    # A check and the public keys; and the steps of the sweep.
    assert re.fullmatch(r"Done: ([2-9]|[1-9][0-9])\.\n", cli.done("worker", "--once"))
    (payment,) = cli.json("payments", "list")
    assert (payment["status"], payment["next_check_at"]) == ("completed", None)
    assert cli.json("source", "show", "bcb")["public_keys_fetched_at"] is not None


def test_once_does_nothing_where_nothing_is_due(cli: Cli, send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit()))
    cli.done("worker", "--once")
    assert cli.done("worker", "--once") == "Done: 0.\n"


def test_it_works_until_it_is_told_to_stop(cli: Cli, send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit()))
    with subprocess.Popen([*RECEIVER, "worker"], stderr=subprocess.DEVNULL) as process:
        while cli.json("payments", "list")[0]["status"] != "completed":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_it_stops_wherever_in_its_waiting_it_is_told_to(cli: Cli) -> None:
    cli.done("source", "list")
    subprocess.run([sys.executable, "-c", STOPPED_IN_THE_MIDDLE], timeout=60, check=True)


def test_upgrade_makes_the_tables_and_may_be_repeated(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECEIVER_DATABASE_URL", f"sqlite:///{tmp_path}/below/new.db")
    assert "was migrated from empty to" in cli.done("db", "upgrade")
    assert "already" in cli.done("db", "upgrade")


def test_a_database_without_tables_is_refused_with_the_command_that_makes_them(cli: Cli, tmp_path: Path) -> None:
    for words in (["source", "list"], ["worker", "--once"]):
        ended = cli.process(*words, RECEIVER_DATABASE_URL=f"sqlite:///{tmp_path}/lost/new.db")
        assert ended.returncode == 1
        assert b"receiver db upgrade" in ended.stderr
    # What serves would take it for the database, if a file system was lost.
    assert not (tmp_path / "lost").exists()
    (tmp_path / "empty.db").touch()
    ended = cli.process("source", "list", RECEIVER_DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")
    assert (ended.returncode, b"receiver db upgrade" in ended.stderr) == (1, True)


def test_a_database_of_a_later_release_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "receiver.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    result = cli.run("db", "upgrade")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("Error: the database is at revision 9999, which this release does not know")
    assert result.stderr.endswith("run the newer release that it is of, or restore the backup of before\n")


def test_a_database_that_is_not_reachable_fails_in_one_line(cli: Cli) -> None:
    url = "postgresql+psycopg://receiver:hidden@127.0.0.1:1/receiver"
    for words in (("db", "upgrade"), ("source", "list"), ("worker", "--once"), ("run",)):
        ended = cli.process(*words, RECEIVER_DATABASE_URL=url, RECEIVER_SECRET_KEYS=KEY)
        assert ended.returncode == 1
        assert ended.stderr.count(b"\n") == 1
        assert ended.stderr.endswith(b" (RECEIVER_DATABASE_URL)\n")
        assert b"hidden" not in ended.stderr


def test_the_development_server_names_the_setting_of_a_database_that_is_not_reachable() -> None:
    url = "postgresql+psycopg://receiver@127.0.0.1:1/receiver"
    given = environment(url, KEY)
    command = [sys.executable, "app.py"]
    ended = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith(b" (RECEIVER_DATABASE_URL)\n")
