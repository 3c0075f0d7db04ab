"""`receiver events`."""

import json
import os
import pty
import signal
import subprocess

import pytest
from bank import BankSigner, deposit, job
from cli.commands import Cli, Send
from servers import RECEIVER
from sqlalchemy import text
from werkzeug.test import TestResponse

from receiver.runtime import Runtime


def event_of(answer: TestResponse) -> str:
    """The id of the one event that a callback brought."""
    ids: list[str] = answer.get_json()["events"]
    return ids[0]


@pytest.fixture
def event_id(send: Send, signer: BankSigner) -> str:
    return event_of(send(signer.sign(deposit())))


def test_the_list_is_newest_first(cli: Cli, send: Send, signer: BankSigner) -> None:
    for number in range(3):
        send(signer.sign(deposit(transactionId=f"FT{number}")))
    assert sorted(found["id"] for found in cli.json("events", "list")) == [
        found["id"] for found in reversed(cli.json("events", "list"))
    ]
    assert len(cli.json("events", "list", "--limit", "2")) == 2


@pytest.mark.parametrize(
    ("words", "subjects"),
    [
        (("--type", "bcb.deposit"), ["FT1", "FT2"]),
        (("--type", "bcb.job.completed"), ["job-1"]),
        (("--payment-id", "FT2"), ["FT2"]),
        (("--source", "bcb"), ["FT1", "FT2", "job-1"]),
        (("--source", "bcb", "--payment-id", "FT1"), ["FT1"]),
    ],
    ids=" ".join,
)
def test_the_list_is_narrowed_by_options(
    cli: Cli, send: Send, signer: BankSigner, words: tuple[str, ...], subjects: list[str]
) -> None:
    for body in (deposit(transactionId="FT1"), deposit(transactionId="FT2"), job("job-1")):
        send(signer.sign(body))
    assert sorted(found["subject"] for found in cli.json("events", "list", *words)) == subjects


def test_the_table_has_a_line_for_each_event(cli: Cli, event_id: str) -> None:
    heading, line = cli.done("events", "list").splitlines()
    assert heading.split()[:2] == ["id", "received"]
    assert line.startswith(event_id)
    assert "1000.00" in line


def test_no_event_is_said_on_standard_error(cli: Cli) -> None:
    result = cli.run("events", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "There is no such event.\n")


def test_show_tells_the_event_and_its_timeline(cli: Cli, event_id: str) -> None:
    shown = cli.json("events", "show", event_id)
    assert (shown["id"], shown["proof"], shown["amount"]) == (event_id, "signature", "1000.00")
    assert [step["what"] for step in shown["timeline"]] == ["signed", "delivery", "proven", "feed"]
    assert shown["timeline"][-1]["position"] == 1
    text = cli.done("events", "show", event_id)
    assert "FT2384654NXF6" in text
    assert "It went to the feed as bcb.deposit, at position 1." in text


def test_raw_gives_the_bytes_as_they_came(cli: Cli, send: Send, signer: BankSigner) -> None:
    body = b'{"odd" :\x1b[31m "\xff"}'
    event_id = event_of(send(signer.sign(body)))
    ended = cli.process("events", "raw", event_id)
    assert (ended.returncode, ended.stdout) == (0, body)
    assert [(entry["what"], entry["about"]["event"]) for entry in cli.json("audit", "list")] == [
        ("payload.read", event_id)
    ]


@pytest.mark.parametrize("command", ["raw", "payload"])
def test_why_somebody_reads_what_the_bank_sent_is_noted(cli: Cli, event_id: str, command: str) -> None:
    refused = cli.run("events", command, event_id, "--reason", "x" * 501)
    assert (refused.exit_code, refused.stdout) == (1, "")
    cli.done("events", command, event_id, "--reason", "case 7")
    assert [(entry["what"], entry["why"]) for entry in cli.json("audit", "list")] == [("payload.read", "case 7")]


def test_evidence_is_for_people_or_for_programs_and_noted(cli: Cli, event_id: str) -> None:
    assert cli.done("events", "evidence", event_id).startswith("# Evidence: evt\\_")
    packed = cli.json("events", "evidence", event_id)
    assert (packed["format"], packed["event"]["id"]) == ("bank-callback-evidence/1", event_id)
    assert [entry["what"] for entry in cli.json("audit", "list")] == ["evidence.made"] * 2
    assert cli.run("events", "evidence", "evt_none").exit_code == 1


@pytest.mark.usefixtures("cli")
def test_raw_bytes_cannot_steer_a_terminal(send: Send, signer: BankSigner) -> None:
    event_id = event_of(send(signer.sign(b'{"odd" :\x1b]0;owned\x07 "\xc2\x9b31m"}')))
    ours, theirs = pty.openpty()
    with subprocess.Popen([*RECEIVER, "events", "raw", event_id], stdout=theirs) as process:
        assert process.wait(30) == 0
    os.close(theirs)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    assert "odd" in shown
    assert all(character.isprintable() or character in "\r\n" for character in shown)


@pytest.mark.parametrize("command", ["show", "raw"])
def test_an_event_that_does_not_exist_fails(cli: Cli, command: str) -> None:
    result = cli.run("events", command, "evt_none")
    assert result.exit_code == 1
    assert "'evt_none'" in result.stderr


@pytest.mark.usefixtures("cli")
def test_tail_follows_the_feed_a_line_an_entry_until_ctrl_c(send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit(transactionId="FT1")))
    command = [*RECEIVER, "events", "tail", "--from-start", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["subject"] == "FT1"
        send(signer.sign(deposit(transactionId="FT2")))
        entry = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
    assert (entry["subject"], entry["position"]) == ("FT2", 2)


@pytest.mark.usefixtures("cli")
def test_tail_begins_with_what_comes_next(send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit(transactionId="FT1")))
    with subprocess.Popen([*RECEIVER, "events", "tail"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        number, line = 1, b""
        os.set_blocking(process.stdout.fileno(), False)
        while not line:
            # It is not told when it has looked where the feed ends, so there is always one more to come.
            number += 1
            send(signer.sign(deposit(transactionId=f"FT{number}")))
            try:
                process.wait(0.3)
            except subprocess.TimeoutExpired:
                line = process.stdout.read() or b""
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert b"bcb.deposit  bcb  FT" in line
    assert b"  FT1\n" not in line


SEARCHES: tuple[tuple[tuple[str, ...], list[str]], ...] = (
    (("--q", "FT1"), ["FT1"]),
    (("--q", "1,250.00 EUR"), ["FT2"]),
    (("--q", "2026-0815", "--type", "bcb.deposit", "--type", "bcb.debit"), ["FT2"]),
    (("--account", "10464 06142", "--payment-id", "FT1", "--payment-id", "FT2"), ["FT1", "FT2"]),
    (("--amount-min", "1200", "--amount-max", "1300.00"), ["FT2"]),
    (("--currency", "USD", "--currency", "EUR", "--no-conflict"), ["FT1", "FT2"]),
    (("--status", "completed", "--proof", "signature", "--agreement", "unconfirmed"), ["FT1", "FT2", "job-1"]),
    (("--q", "ft", "--after", "2100-01-01T00:00:00Z"), []),
    (("--q", "ft", "--limit", "1"), ["FT2"]),
)


def test_events_are_searched_for(cli: Cli, send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit(transactionId="FT1")))
    more = {"value": {"amount": "1250.00", "currency": "EUR"}, "transactionDetails": "Rent 2026-0815"}
    send(signer.sign(deposit(transactionId="FT2", **more)))
    send(signer.sign(job("job-1")))
    for words, subjects in SEARCHES:
        assert sorted(found["subject"] for found in cli.json("events", "list", *words)) == subjects, words


def test_a_list_shows_the_end_of_an_account_and_show_all_of_it(cli: Cli, event_id: str) -> None:
    (listed,) = cli.json("events", "list")
    assert listed["facts"]["account_number"] == "…6142"
    assert cli.json("events", "show", event_id)["facts"]["account_number"] == "1046406142"


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    "words",
    [("--amount-min", "1,000"), ("--status", "done"), ("--after", "2026-01-01"), ("--after", "20260101T000000Z")],
)
def test_a_filter_that_can_not_be_read_is_wrong_use(cli: Cli, words: tuple[str, str]) -> None:
    result = cli.run("events", "list", *words)
    assert result.exit_code == 2
    assert words[1] in result.output


def test_that_older_events_are_not_searched_yet_is_said(cli: Cli, event_id: str, live: Runtime) -> None:
    cli.done("events", "list", "--q", "FT")
    with live.database.write() as connection:
        connection.execute(text("UPDATE search_progress SET below = 8"))
    result = cli.run("events", "list", "--q", "FT")
    assert event_id in result.stdout
    assert "about 7 events of before the upgrade" in result.stderr


def test_a_payload_is_written_with_indents(cli: Cli, send: Send, signer: BankSigner) -> None:
    event_id = send(signer.sign(deposit())).get_json()["events"][0]
    assert cli.done("events", "payload", event_id) == f"{json.dumps(deposit(), indent=2)}\n"
    assert cli.json("audit", "list")[0]["what"] == "payload.read"
