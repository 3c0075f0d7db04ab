"""`receiver doctor`."""

import base64
import json
import os
import re
from datetime import timedelta

import others
import pytest
from bank import BankSigner, Signed, deposit
from cli.commands import Cli, Send
from conftest import add_source
from others import TOKEN, message

from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.store import circuits, outages
from receiver.store.outages import Outage
from receiver.store.sources import SourceRecord


def test_all_is_well_where_the_bank_takes_the_credentials(cli: Cli, live: Runtime) -> None:
    with Simulator() as simulator:
        add_source(live, base_url=simulator.url)
        result = cli.run("doctor")
    assert result.exit_code == 0
    assert [line.split(":")[0].split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["ok", "database"],
        ["warn", "worker"],
        ["ok", "bcb secrets"],
        ["ok", "bcb bank"],
        ["ok", "bcb clock"],
        ["ok", "bcb public keys"],
        ["ok", "bcb permissions"],
        ["ok", "bcb requests"],
    ]
    assert re.search("ok    bcb requests: 29[0-9] of 300 left until .* UTC; spent: person [1-9]", result.stdout)


def test_nothing_set_up_yet_is_a_warning(cli: Cli) -> None:
    result = cli.run("doctor")
    assert result.exit_code == 0
    assert "warn  sources: there is none; add one with `receiver source add NAME --bank BANK`" in result.stdout


@pytest.mark.usefixtures("known")
def test_a_source_without_credentials_is_a_warning(cli: Cli) -> None:
    result = cli.run("doctor")
    assert result.exit_code == 0
    assert "warn  bcb bank: no API credentials" in result.stdout


@pytest.mark.usefixtures("known")
def test_a_disabled_source_is_a_warning(cli: Cli) -> None:
    cli.done("source", "disable", "bcb")
    assert "warn  bcb: disabled" in cli.done("doctor")


def test_a_source_without_a_secret_fails_and_the_command_is_named(cli: Cli, live: Runtime) -> None:
    add_source(live, secret=None)
    result = cli.run("doctor")
    assert result.exit_code == 1
    assert "fail  bcb secrets: none; run `receiver secret set bcb`" in result.stdout


def test_refused_credentials_fail_and_are_not_repeated(cli: Cli, live: Runtime) -> None:
    with Simulator(Config(client_secret="another")) as simulator:
        add_source(live, base_url=simulator.url)
        result = cli.run("doctor")
    assert result.exit_code == 1
    assert "fail  bcb bank: POST /auth/token: 401" in result.stdout
    assert "simulator-secret" not in result.output


def test_a_bank_that_is_not_reachable_fails(cli: Cli, live: Runtime) -> None:
    add_source(live, base_url="http://127.0.0.1:1")
    result = cli.run("doctor")
    assert result.exit_code == 1
    assert "fail  bcb bank: POST /auth/token: the connection was refused" in result.stdout


def test_a_clock_that_is_off_fails(cli: Cli, live: Runtime) -> None:
    from receiver.runtime import utc_now

    with Simulator(clock=lambda: utc_now() + timedelta(minutes=4)) as simulator:
        add_source(live, base_url=simulator.url)
        result = cli.run("doctor")
    assert result.exit_code == 1
    assert "fail  bcb clock: 2" in result.stdout


@pytest.mark.parametrize("secret", [None, "A" * 43 + "="])
def test_what_no_key_opens_fails_after_all_else_was_told(
    cli: Cli, live: Runtime, monkeypatch: pytest.MonkeyPatch, secret: str | None
) -> None:
    add_source(live, secret=secret, base_url="http://127.0.0.1:1")
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", base64.urlsafe_b64encode(bytes(32)).decode())
    result = cli.run("doctor")
    assert result.exit_code == 1
    assert "ok    database" in result.stdout
    assert "no key in RECEIVER_SECRET_KEYS opens the stored" in result.stdout


def test_what_the_bank_says_cannot_steer_the_terminal(cli: Cli, live: Runtime, hostile_bank: str) -> None:
    add_source(live, base_url=hostile_bank)
    result = cli.run("doctor")
    assert "fail  bcb bank: POST /auth/token: 500" in result.stdout
    assert all(character.isprintable() or character == "\n" for character in result.stdout)


def test_events_that_were_told_with_other_money_are_listed(
    cli: Cli, signer: BankSigner, live: Runtime, send: Send
) -> None:
    others.add(live, "banqup", TOKEN, token_in="header")
    for amount in ("5.00", "7.00"):
        body = json.dumps(message(amount=amount, currency="EUR")).encode()
        assert send(Signed("/webhooks/banqup/messages", body, {"X-Banqup-Token": TOKEN})).status_code == 200
        send(signer.sign(deposit(transactionDetails=amount)))
    result = cli.run("doctor")
    assert result.exit_code == 0
    assert "warn  banqup conflict: evt_" in result.stdout
    assert "5 EUR in dlv_" in result.stdout
    assert result.stdout.count("conflict") == 1


def test_findings_are_written_as_json_for_programs(cli: Cli, known: SourceRecord) -> None:
    told = json.loads(cli.done("doctor", "--json"))
    findings = told.pop("findings")
    assert {"state": "warn", "what": f"{known.name} bank"}.items() <= findings[3].items()
    assert {tuple(finding) for finding in findings} == {("state", "what", "text")}
    stands = {
        "source": "bcb",
        "requests_limit": 300,
        "requests_left": 300,
        "requests_anew_at": None,
        "blocked_until": None,
        "requests_spent": {},
        "down_since": None,
        "tried_at": None,
        "gives_up_at": None,
        "gives_up_failures_left": None,
        "proxy": None,
    }
    assert told == {"worker_seen_at": None, "sources": [stands]}


def test_one_source_is_looked_at_alone(cli: Cli, known: SourceRecord, live: Runtime) -> None:
    others.add(live, "banqup", None, token_in="header")
    assert "banqup" in cli.run("doctor").stdout
    assert "banqup" not in cli.done("doctor", known.name)
    nobody = cli.run("doctor", "bcc")
    assert (nobody.exit_code, "no source 'bcc'; the nearest is 'bcb'" in nobody.stderr) == (2, True)


def test_a_worker_that_is_at_work_is_seen(cli: Cli) -> None:
    assert "warn  worker: none was ever at work here" in cli.done("doctor")
    cli.done("worker", "--once")
    assert "ok    worker: last seen" in cli.done("doctor")


def test_a_limit_that_is_spent_is_said(cli: Cli, live: Runtime) -> None:
    with Simulator() as simulator:
        add_source(live, base_url=simulator.url, requests_per_window=1)
        cli.run("doctor")
        said = cli.run("doctor").stdout
        told = json.loads(cli.run("doctor", "--json").stdout)
    assert "warn  bcb limit: the limit of bcb, 1 requests, is spent: no request before" in said
    assert told["sources"][0]["requests_left"] == 0
    assert told["sources"][0]["requests_anew_at"] is not None


def test_a_bank_that_is_down_and_one_that_is_about_to_give_up_are_said(cli: Cli, live: Runtime) -> None:
    down = add_source(live, base_url="http://127.0.0.1:1")
    gives_up = others.add(live, "connectpay", others.TOKEN)
    now = live.clock()
    with live.database.write() as connection:
        pauses = (timedelta(minutes=5), timedelta(minutes=5))
        circuits.fail(connection, down.id, now=now, most=1, pauses=pauses, error="gone")
        outages.note(connection, {gives_up.id: Outage(now, now, 85)}, now)
    result = cli.run("doctor")
    assert result.exit_code == 1
    assert f"warn  bcb circuit: the bank of bcb is down since {now:%Y-%m-%d %H:%M:%S} UTC (gone)" in result.stdout
    assert "fail  connectpay gives up: the bank stops sending after 15 more refusals: 85 callbacks" in result.stdout
    shown = {each["source"]: each for each in json.loads(cli.run("doctor", "--json").stdout)["sources"]}
    assert shown["bcb"]["down_since"] is not None
    assert shown["connectpay"]["gives_up_failures_left"] == 15


def test_a_proxy_on_the_way_to_the_bank_is_shown_without_its_password(
    cli: Cli, live: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hidden@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "other.example")
    add_source(live, base_url="https://bank.example")
    result = cli.run("doctor")
    assert "ok    bcb proxy: its API is asked through http://…@127.0.0.1:9" in result.stdout
    assert "hidden" not in result.output


def test_a_wrong_setting_fails_in_one_line(cli: Cli) -> None:
    ended = cli.process("doctor", RECEIVER_LOG_LEVEL="loud")
    assert (ended.returncode, ended.stdout, ended.stderr.count(b"\n")) == (1, b"", 1)
    assert b"RECEIVER_LOG_LEVEL" in ended.stderr


def test_a_database_that_others_may_read_is_a_warning_with_what_to_do(cli: Cli, live: Runtime) -> None:
    if not live.database.is_sqlite:
        pytest.skip("a file of SQLite's")
    path = str(live.database.engine.url.database)
    assert "database file" not in cli.run("doctor").stdout
    os.chmod(path, 0o644)
    assert f"warn  database file: others may read it: chmod 600 {path}\n" in cli.run("doctor").stdout
