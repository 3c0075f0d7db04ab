"""`receiver replay`."""

import json
import os
import threading
import time
from collections.abc import Sequence

import pytest
from bank import BankSigner, deposit
from cli.commands import Cli, Send
from conftest import add_source
from flask.testing import FlaskClient

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import consumers, feed, replays, signing_secrets
from receiver.store.feed import Entry, Wanted
from receiver.worker.loop import Worker

REASON = ("--reason", "the ledger lost a day")


@pytest.fixture
def told(send: Send, signer: BankSigner) -> None:
    """Three payments that callbacks named."""
    for number in range(3):
        send(signer.sign(deposit(transactionId=f"FT{number}")))


def entries(live: Runtime, reader: str | None = None) -> Sequence[Entry]:
    catch_up(live.database)
    with live.database.read() as connection:
        return feed.read(connection, after=0, limit=100, wanted=Wanted(consumer=reader)).entries


def is_running(live: Runtime) -> bool:
    with live.database.read() as connection:
        return bool(replays.listing(connection, limit=1))


def again(live: Runtime, reader: str | None = None) -> list[str | None]:
    return [entry.subject for entry in entries(live, reader) if entry.replay_id]


@pytest.mark.usefixtures("told")
def test_a_plan_is_shown_and_run_as_it_says(cli: Cli, live: Runtime) -> None:
    text = cli.done("replay", "plan", "--payment-id", "FT1", *REASON)
    assert text.splitlines()[0].split() == ["matched", "1"]
    assert "bcb.deposit" in text
    *_, command = text.splitlines()
    assert command.split()[:3] == ["receiver", "replay", "run"]
    ran = cli.done(*command.split()[1:])
    assert "running" in ran
    assert cli.done("worker", "--once").startswith("Done: ")
    assert again(live) == ["FT1"]


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("given", ["", "  ", "-", "\u200b"])
@pytest.mark.parametrize("option", ["--q", "--source", "--type", "--consumer", "--after", "--before", "--target"])
def test_a_filter_that_is_given_and_says_nothing_is_wrong_use(cli: Cli, option: str, given: str) -> None:
    """Such as an empty variable of a shell: it would restrict nothing."""
    failed = cli.run("replay", "plan", option, given, *REASON)
    assert failed.exit_code == 2
    assert option in failed.stderr or "There is no" in failed.stderr


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("option", ["--payment-id", "--event-id"])
def test_an_id_that_is_empty_matches_nothing(cli: Cli, option: str) -> None:
    assert cli.json("replay", "plan", option, "", *REASON)["matched"] == 0


@pytest.mark.usefixtures("told")
def test_json_tells_the_same_as_the_api(cli: Cli, live: Runtime) -> None:
    plan = cli.json("replay", "plan", "--source", "bcb", "--type", "bcb.deposit", *REASON)
    assert set(plan) == {"matched", "from", "to", "sample", "plan", "expires_at", "notes"}
    assert (plan["matched"], [row["subject"] for row in plan["sample"]]) == (3, ["FT0", "FT1", "FT2"])
    started = cli.json("replay", "run", plan["plan"])
    assert (started["state"], started["matched"], started["reason"]) == ("running", 3, REASON[1])
    assert started["requested_by"].startswith("cli:")
    cli.done("worker", "--once")
    assert cli.json("replay", "status", started["id"])["done"] == 3
    assert cli.json("replay", "run", plan["plan"])["id"] == started["id"]
    (listed,) = cli.json("replay", "status")
    assert (listed["id"], listed["state"]) == (started["id"], "done")
    assert again(live) == ["FT0", "FT1", "FT2"]


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("words", "matched"),
    [
        (("--source", "other"), 0),
        (("--source", "other", "--source", "bcb"), 3),
        (("--after", "2999-01-01T00:00:00Z"), 0),
        (("--before", "2999-01-01T00:00:00+02:00"), 3),
        (("--before", "2020-01-01T00:00:00Z"), 0),
        (("--event-id", "evt_none"), 0),
        (("--payment-id", "FT0", "--payment-id", "FT1", "--payment-id", "FT-none"), 2),
        (("--type", "bcb.deposit", "--type", "bcb.debit"), 3),
        (("--q", "FT2"), 1),
        (("--q", "FT2", "--source", "other"), 0),
        (("--target", "bank", "--payment-id", "FT2"), 1),
        (("--target", "verification"), 0),
    ],
)
def test_options_narrow_it(cli: Cli, live: Runtime, words: tuple[str, ...], matched: int) -> None:
    add_source(live, "other")
    assert cli.json("replay", "plan", *words, *REASON)["matched"] == matched


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--reason"),
        ((*REASON, "--target", "nowhere"), "--target"),
        ((*REASON, "--after", "yesterday"), "--after"),
        ((*REASON, "--after", "2026-01-01T00:00:00"), "zone"),
        ((*REASON, "--after", "0001-01-01T00:00:00+05:00"), "--after"),
        ((*REASON, "--after", "0001-01-05T00:00:00Z"), "--after"),
        ((*REASON, "--rate", "0"), "--rate"),
        ((*REASON, "--rate", "x"), "--rate"),
        ((*REASON, "--source", "bbc"), "There is no source 'bbc'"),
        ((*REASON, "--type", "bcb.deposit", "--type", "bcb.debits"), "the nearest is 'bcb.debit'"),
        ((*REASON, "--consumer", "lodger"), "no consumer 'lodger'"),
        ((*REASON, "--rate", "2", "--rate", "2"), "--rate is given 2 times"),
        ((*REASON, *REASON), "--reason is given 2 times"),
    ],
)
def test_wrong_use_ends_with_2(cli: Cli, words: tuple[str, ...], says: str) -> None:
    result = cli.run("replay", "plan", *words)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--reason", " "),
        ("plan", *REASON, "--delivery-id", "dlv_1"),
        ("plan", *REASON, "--delivery-id", "dlv_1", "--q", "FT1"),
        ("run", "nonsense"),
        ("status", "rpl_none"),
        ("cancel", "rpl_none"),
        ("approve", "rpl_none"),
        ("pause", "rpl_none"),
        ("resume", "rpl_none"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_fails_in_one_line(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli.run("replay", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("told")
def test_a_replay_for_one_consumer_and_with_a_rate(cli: Cli, live: Runtime) -> None:
    with live.database.write() as connection:
        consumers.create(connection, "ledger", live.clock())
    plan = cli.json("replay", "plan", "--consumer", "ledger", "--rate", "0.01", *REASON)
    started = cli.json("replay", "run", plan["plan"])
    assert (started["consumer"], started["per_second"]) == ("ledger", 0.01)
    cli.done("worker", "--once")
    assert again(live, "ledger") == ["FT0"]
    assert again(live) == []


@pytest.mark.usefixtures("told")
def test_cancelling_stops_it_once(cli: Cli, live: Runtime) -> None:
    plan = cli.json("replay", "plan", *REASON)
    replay_id = cli.json("replay", "run", plan["plan"])["id"]
    assert replay_id in cli.done("replay", "cancel", replay_id)
    assert cli.run("replay", "cancel", replay_id).exit_code == 1
    cli.done("worker", "--once")
    assert cli.json("replay", "status", replay_id)["state"] == "cancelled"
    assert again(live) == []


@pytest.mark.usefixtures("told")
def test_a_large_one_waits_for_somebody_else(cli: Cli, live: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_REPLAY_APPROVAL_ABOVE", "2")
    ran = cli.run("replay", "run", cli.json("replay", "plan", *REASON)["plan"], "--json")
    shown = json.loads(ran.stdout)
    assert shown["state"] == "awaiting_approval"
    assert f"More than 2: somebody else has to approve it, by `receiver replay approve {shown['id']}`." in ran.stderr
    own = cli.run("replay", "approve", shown["id"])
    assert (own.exit_code, "somebody else has to approve it" in own.stderr) == (1, True)
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert "somebody else has to approve it" in cli.run("replay", "approve", shown["id"]).stderr
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_123)
    assert "3 will be sent again" in cli.done("replay", "approve", shown["id"])
    assert "paused at 0 of 3" in cli.done("replay", "pause", shown["id"])
    cli.done("worker", "--once")
    assert again(live) == []
    assert "goes on" in cli.done("replay", "resume", shown["id"])
    cli.done("worker", "--once")
    ended = cli.json("replay", "status", shown["id"])
    assert (ended["state"], ended["approved_by"]) == ("done", "cli:4000000123")
    assert len(again(live)) == 3


@pytest.mark.usefixtures("told")
def test_waiting_shows_the_progress_and_ends_with_the_replay(cli: Cli, live: Runtime) -> None:
    plan = cli.json("replay", "plan", *REASON)

    def work() -> None:
        # Not before there is something to wait for.
        while not is_running(live):
            time.sleep(0.01)
        Worker(live).run_once()

    worker = threading.Thread(target=work)
    worker.start()
    result = cli.run("replay", "run", plan["plan"], "--wait", "--json")
    worker.join()
    assert result.exit_code == 0
    assert '"state": "done"' in result.stdout
    assert "rpl_" in result.stderr


def test_no_replay_is_said_on_standard_error(cli: Cli) -> None:
    result = cli.run("replay", "status")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "There was no replay yet.\n")


def test_a_rejected_delivery_is_verified_again(cli: Cli, live: Runtime, web: FlaskClient, signer: BankSigner) -> None:
    source = add_source(live, "late", secret=None)
    signed = signer.sign(deposit(), "/webhooks/late")
    assert web.post(signed.path, data=signed.body, headers=signed.headers).status_code == 503
    (delivery,) = cli.json("deliveries", "list", "--source", "late")
    with live.database.write() as connection:
        signing_secrets.put(connection, live.encryption, source.id, signer.secret, now=live.clock(), grace_seconds=0)
    words = ("--target", "verification", "--delivery-id", delivery["id"])
    plan = cli.json("replay", "plan", *words, *REASON)
    assert plan["matched"] == 1
    replay_id = cli.json("replay", "run", plan["plan"])["id"]
    cli.done("worker", "--once")
    assert cli.json("replay", "status", replay_id)["failed"] == 0
    assert cli.json("deliveries", "show", delivery["id"])["verdict"] == "accepted"


@pytest.mark.usefixtures("told")
def test_what_came_from_outside_cannot_steer_the_terminal(cli: Cli) -> None:
    plan = cli.json("replay", "plan", "--reason", "\x1b]0;owned\x07")
    shown = cli.done("replay", "run", plan["plan"])
    assert "owned" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)
