"""`receiver payments`, against a simulated bank."""

from collections.abc import Iterator

import pytest
import requests
from bank import BankSigner, deposit, job
from cli.commands import Cli, Send
from conftest import add_source

from receiver.runtime import Runtime
from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.payments import JobPlan
from receiver.simulator.scripts import Script
from receiver.store import destinations, sources
from receiver.store import payments as subjects
from receiver.store.sources import SourceRecord


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as started:
        yield started


@pytest.fixture
def known(live: Runtime, simulator: Simulator) -> SourceRecord:
    """The source `bcb`, whose bank is the simulator."""
    return add_source(live, base_url=simulator.url)


def put_payment(simulator: Simulator, payment_id: str, *statuses: str) -> None:
    script = [[status, 0] for status in statuses]
    url = f"{simulator.url}/_simulator/payments/{payment_id}"
    assert requests.put(url, json={"script": script}, timeout=60).status_code == 200


def test_check_asks_the_bank_and_shows_what_it_said(
    cli: Cli, send: Send, signer: BankSigner, simulator: Simulator
) -> None:
    send(signer.sign(deposit()))
    put_payment(simulator, "FT2384654NXF6", "Completed")
    shown = cli.json("payments", "check", "bcb", "FT2384654NXF6")
    assert (shown["status"], shown["bank_status"], shown["agreement"]) == ("completed", "Completed", "confirmed")
    assert [check["outcome"] for check in shown["checks"]] == ["answered"]


def test_check_asks_again_where_the_payment_is_final_already(
    cli: Cli, send: Send, signer: BankSigner, simulator: Simulator
) -> None:
    send(signer.sign(deposit()))
    put_payment(simulator, "FT2384654NXF6", "Completed")
    cli.done("payments", "check", "bcb", "FT2384654NXF6")
    put_payment(simulator, "FT2384654NXF6", "Reversed")
    shown = cli.json("payments", "check", "bcb", "FT2384654NXF6")
    assert (shown["status"], shown["agreement"], len(shown["checks"])) == ("reversed", "confirmed", 2)


def test_a_payment_that_the_bank_does_not_know_stays_unknown(cli: Cli, send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit()))
    shown = cli.json("payments", "check", "bcb", "FT2384654NXF6")
    assert (shown["status"], shown["agreement"]) == ("unknown", "unknown_to_bank")
    assert [check["outcome"] for check in shown["checks"]] == ["not_found"]
    assert shown["next_check_at"] is not None


def test_check_fails_where_the_bank_was_not_asked(
    cli: Cli, live: Runtime, send: Send, signer: BankSigner, known: SourceRecord
) -> None:
    send(signer.sign(deposit()))
    with live.database.write() as connection:
        sources.change(connection, known.id, enabled=False)
    result = cli.run("payments", "check", "bcb", "FT2384654NXF6")
    assert result.exit_code == 1
    assert "the bank was not asked" in result.stderr
    assert "unconfirmed" in result.stdout


def test_show_tells_the_payment_with_every_check(
    cli: Cli, send: Send, signer: BankSigner, simulator: Simulator
) -> None:
    send(signer.sign(deposit()))
    assert "The bank was not asked yet." in cli.run("payments", "show", "bcb", "FT2384654NXF6").stderr
    put_payment(simulator, "FT2384654NXF6", "Completed")
    cli.done("payments", "check", "bcb", "FT2384654NXF6")
    text = cli.done("payments", "show", "bcb", "FT2384654NXF6")
    assert "confirmed" in text
    assert "answered" in text


def test_the_list_is_narrowed_by_status_and_source(
    cli: Cli, send: Send, signer: BankSigner, simulator: Simulator
) -> None:
    for payment_id in ("FT1", "FT2"):
        send(signer.sign(deposit(transactionId=payment_id)))
    put_payment(simulator, "FT2", "Completed")
    cli.done("payments", "check", "bcb", "FT2")
    listed = cli.json("payments", "list")
    assert [(found["payment_id"], found["status"]) for found in listed] == [("FT2", "completed"), ("FT1", "unknown")]
    shown = cli.json("payments", "show", "bcb", "FT2")
    del shown["next_check_why"]
    assert len(shown["checks"]) == 1
    assert cli.json("payments", "list", "--status", "completed") == [shown]
    states = ("--status", "completed", "--status", "unknown", "--agreement", "confirmed", "--agreement", "unconfirmed")
    assert len(cli.json("payments", "list", *states)) == 2
    assert len(cli.json("payments", "list", "--limit", "1")) == 1
    assert "FT1" in cli.done("payments", "list")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("kind", ["payment", "job"])
def test_what_does_not_exist_fails(cli: Cli, kind: str) -> None:
    result = cli.run(f"{kind}s", "show", "bcb", "FT0")
    assert (result.exit_code, result.stderr) == (1, f"Error: there is no {kind} 'FT0' of 'bcb'\n")


@pytest.mark.usefixtures("known")
def test_a_job_whose_callback_never_came_is_found_by_asking(cli: Cli, simulator: Simulator) -> None:
    simulator.bank.job_plan = JobPlan(Script.of(("Completed", 0)), failed=0)
    job_id = simulator.bank.create_job(2, None, {}).job_id
    shown = cli.json("jobs", "check", "bcb", job_id)
    assert (shown["status"], [item["status"] for item in shown["items"]]) == ("completed", ["completed"] * 2)
    assert [found["job_id"] for found in cli.json("jobs", "list")] == [job_id]
    assert "2000000001" in cli.done("jobs", "show", "bcb", job_id)
    assert cli.json("payments", "list") == []


def test_a_status_that_is_none_is_wrong_use(cli: Cli) -> None:
    assert cli.run("payments", "list", "--status", "lost").exit_code == 2


def test_what_the_bank_says_cannot_steer_the_terminal(
    cli: Cli, live: Runtime, known: SourceRecord, send: Send, signer: BankSigner, hostile_bank: str
) -> None:
    with live.database.write() as connection:
        destinations.move(connection, live.encryption, known, base_url=hostile_bank)
    send(signer.sign(deposit(transactionType="\u202e backwards")))
    for words in (("payments", "check", "bcb", "FT2384654NXF6"), ("events", "list"), ("payments", "list")):
        for text in (cli.done(*words), cli.done(*words, "--json")):
            assert all(character.isprintable() or character == "\n" for character in text)


def test_lists_say_when_the_bank_is_asked_next_as_show_does(
    cli: Cli, send: Send, signer: BankSigner, live: Runtime, known: SourceRecord
) -> None:
    send(signer.sign(deposit()))
    send(signer.sign(job("job-1")))
    with live.database.write() as connection:
        sources.change(connection, known.id, enabled=False)
    for group, name in (("payments", "FT2384654NXF6"), ("jobs", "job-1")):
        (row,) = cli.json(group, "list")
        shown = cli.json(group, "show", "bcb", name)
        assert (row["next_check_at"], shown["next_check_at"]) == (None, None)
        assert shown["next_check_why"].endswith("source bcb is not enabled")


def test_jobs_are_narrowed_as_payments_are(
    cli: Cli, send: Send, signer: BankSigner, live: Runtime, known: SourceRecord
) -> None:
    send(signer.sign(deposit()))
    send(signer.sign(job("job-1")))
    assert len(cli.json("jobs", "list", "--no-stalled", "--agreement", "unconfirmed")) == 1
    now = live.clock()
    with live.database.write() as connection:
        subjects.stall(connection, known.id, now, now, limit=9)
    for group in ("payments", "jobs"):
        assert len(cli.json(group, "list", "--stalled")) == 1
        assert cli.json(group, "list", "--no-stalled") == []
        assert cli.json(group, "list", "--agreement", "confirmed") == []
