"""`receiver retention`, `receiver events hold`, `receiver db check` and `db copy`, as an operator types them."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bank import BankSigner, deposit
from cli.commands import Cli, Send
from conftest import add_source
from sqlalchemy import create_engine, insert, text

from receiver.admin import database
from receiver.model import HeldBack, RetentionKind
from receiver.runtime import Runtime
from receiver.store import consumers
from receiver.store.copying import Copied
from receiver.store.retention import FEED
from receiver.store.sources import SourceRecord
from receiver.store.tables import RetentionLeft, RetentionProgress, table_of


@pytest.fixture
def event_id(send: Send, signer: BankSigner) -> str:
    """An event that came just now."""
    answer = send(signer.sign(deposit())).json
    assert answer is not None
    return str(answer["events"][0])


def grow_old(live: Runtime) -> None:
    """Make everything 40 days older: ids tell the time too."""
    with live.database.read() as connection:
        now = live.clock()
        row = connection.execute(text("SELECT id FROM deliveries")).scalar_one()
    older = f"dlv_{int((now - timedelta(days=40)).timestamp() * 1000):012x}{row[16:]}"
    engine = create_engine(live.settings.database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE deliveries SET id = :older"), {"older": older})
        connection.execute(text("UPDATE events SET delivery_id = :older"), {"older": older})
        connection.execute(text("UPDATE sources SET created_at = '2020-01-01 00:00:00'"))
    engine.dispose()
    live.database.close()


def test_payloads_go_after_their_days_and_a_hold_spares_one(
    cli: Cli, live: Runtime, known: SourceRecord, event_id: str
) -> None:
    grow_old(live)
    cli.done("source", "set", known.name, "--option", "retention_payload_days=30")
    assert cli.json("retention", "run", "--dry-run") == [
        {"source": "bcb", "kind": "payload", "removed": 1, "held_back": 0}
    ]
    assert "on hold" in cli.done("events", "hold", event_id, "--reason", "a court asks")
    assert cli.json("retention", "run") == [{"source": "bcb", "kind": "payload", "removed": 0, "held_back": 1}]
    assert cli.done("events", "raw", event_id)
    (held,) = cli.json("events", "hold")
    assert (held["event_id"], held["reason"]) == (event_id, "a court asks")
    assert cli.json("events", "show", event_id)["on_hold"]
    status = cli.json("retention", "status")
    payload = next(row for row in status["retention"] if row["kind"] == "payload")
    assert (payload["days"], payload["removed"], payload["held_back"]) == (30, 0, {"on_hold": 1})
    assert status["events_on_hold"] == 1
    assert "released" in cli.done("events", "hold", event_id, "--release")
    assert "payload" in cli.done("retention", "run", "bcb")
    gone = cli.run("events", "raw", event_id)
    assert (gone.exit_code, "is not stored any more" in gone.stderr) == (1, True)
    acts = [entry["what"] for entry in cli.json("audit", "list")]
    assert {"event.held", "event.released", "retention.run"} <= set(acts)
    assert "for ever" in cli.done("retention", "status")
    plan = cli.run("replay", "plan", "--reason", "again")
    assert "Of 1 the payload is not stored any more" in plan.stderr


def test_what_was_removed_of_the_feed_is_told_once_however_many_sources_there_are(
    cli: Cli, live: Runtime, known: SourceRecord
) -> None:
    add_source(live, "other", retention_feed_days=30)
    of_feed = {"source_id": FEED, "kind": RetentionKind.FEED}
    with live.database.write() as connection:
        progress = {"through": "", "left_through": "", "removed": 1000, "stopped_by": HeldBack.UNREAD}
        connection.execute(insert(table_of(RetentionProgress)).values(**of_feed, **progress))
        left = {"place": "7", "reason": HeldBack.UNREAD}
        connection.execute(insert(table_of(RetentionLeft)).values(**of_feed, **left))
    rows = [row for row in cli.json("retention", "status")["retention"] if row["kind"] == "feed"]
    untold: dict[str, Any] = {"kind": "feed", "removed": None, "held_back": {}, "stopped_by": None}
    assert rows == [
        {"source": known.name, "days": None, **untold},
        {"source": "other", "days": 30, **untold},
        {
            "source": None,
            "kind": "feed",
            "days": None,
            "removed": 1000,
            "held_back": {"unread": 1},
            "stopped_by": "unread",
        },
    ]
    assert cli.done("retention", "status").count("1000") == 1


def test_wrong_use_of_holds_and_retention(cli: Cli, known: SourceRecord, event_id: str) -> None:
    assert known.name == "bcb"
    wrong: tuple[tuple[str, ...], ...] = (
        ("events", "hold", event_id),
        ("events", "hold", "--release"),
        ("retention", "run", "bcc"),
        ("db", "copy"),
        ("db", "copy", "--to", "postgresql+psycopg://a:secret@127.0.0.1/x"),
    )
    for words in wrong:
        assert cli.run(*words).exit_code == 2, words
    failing: tuple[tuple[tuple[str, ...], str], ...] = (
        (("events", "hold", "evt_none", "--reason", "x"), "there is no event"),
        (("events", "hold", event_id, "--release"), "is not on hold"),
        (("events", "hold", event_id, "--reason", " "), "give a reason"),
        (("db", "copy", "--to", "mysql://x"), "neither SQLite nor PostgreSQL"),
    )
    for words, reason in failing:
        found = cli.run(*words)
        assert (found.exit_code, reason in found.stderr) == (1, True), words


def test_a_whole_database_passes_the_check_and_a_hole_does_not(cli: Cli, live: Runtime, event_id: str) -> None:
    assert event_id
    cli.done("worker", "--once")
    assert [each["ok"] for each in cli.json("db", "check")] == [True] * 5
    with live.database.write() as connection:
        connection.execute(text("DELETE FROM feed_entries"))
    found = cli.run("db", "check")
    assert found.exit_code == 1
    assert "1 entries are missing above position 0: 1" in found.stdout
    assert "something is wrong: feed" in found.stderr


def test_a_database_is_copied_and_the_copy_is_used(
    cli: Cli, known: SourceRecord, event_id: str, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = cli.done("db", "copy", "--to", "-", given=f"{empty_postgres_url}\n")
    assert "numbers and digests are the same" in copied
    monkeypatch.setenv("RECEIVER_DATABASE_URL", empty_postgres_url)
    assert json.loads(cli.done("events", "show", event_id, "--json"))["source"] == known.name
    assert [each["ok"] for each in cli.json("db", "check")] == [True] * 5


def test_a_copy_says_what_an_app_has_acknowledged_meanwhile(
    cli: Cli, live: Runtime, event_id: str, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert event_id
    whole = database.copy

    def acknowledge(position: int) -> None:
        with live.database.write() as connection:
            consumers.seek(connection, "ledger", position, live.clock())

    def copied(*given: Any) -> Iterator[Copied]:
        for number, each in enumerate(whole(*given)):
            if number == 0:
                acknowledge(1)
            yield each

    cli.done("worker", "--once")
    acknowledge(0)
    monkeypatch.setattr(database, "copy", copied)
    found = cli.run("db", "copy", "--to", "-", given=f"{empty_postgres_url}\n")
    assert found.exit_code == 1
    assert "the receiver went on writing (changes in consumers): stop it" in found.stderr
    assert "Set RECEIVER_DATABASE_URL" not in found.stdout


def test_the_doctor_names_consumers_that_hold_nothing_back(cli: Cli, live: Runtime, known: SourceRecord) -> None:
    assert known.name == "bcb"
    with live.database.write() as connection:
        connection.execute(
            text("INSERT INTO consumers (name, position, created_at) VALUES ('old', 0, '2020-01-01 00:00:00')")
        )
    assert "idle for 30 days and more, so they hold nothing back: old" in cli.run("doctor").stdout
    assert cli.json("retention", "status")["idle_consumers"] == ["old"]
