"""Sources of ConnectPay, Banqup and Standard Webhooks on the command line."""

import json
from datetime import timedelta
from pathlib import Path

import others
import pytest
from certificates import new_certificate
from cli.commands import Cli
from click.testing import Result
from others import CREDENTIALS, TOKEN, WHSEC

from receiver.runtime import Runtime
from receiver.store import sources

BANQUP = ("source", "add", "banqup", "--bank", "banqup")


def add(cli: Cli, bank: str, *words: str, credentials: dict[str, str] | None = None) -> Result:
    given = json.dumps(credentials) if credentials else ""
    more = ("--credentials", "-") if credentials else ()
    return cli.run("source", "add", bank, "--bank", bank, *words, *more, given=given)


def test_each_bank_takes_credentials_of_its_own_names(cli: Cli, live: Runtime) -> None:
    assert add(cli, "connectpay", credentials=CREDENTIALS["connectpay"]).exit_code == 0
    spelt = {"clientId": "the-app", "clientSecret": "the-app-secret"}
    assert add(cli, "banqup", "--option", "token_in=path", credentials=spelt).exit_code == 0
    with live.database.read() as connection:
        for name in ("connectpay", "banqup"):
            found = sources.find(connection, name)
            assert found is not None
            assert sources.credentials(connection, live.encryption, found) == CREDENTIALS[name]


def test_a_sender_without_an_api_is_asked_for_no_credentials_and_takes_none(cli: Cli) -> None:
    result = add(cli, "standard_webhooks")
    assert (result.exit_code, "can't be checked" in result.stderr) == (0, False)
    refused = cli.run("source", "add", "other", "--bank", "standard_webhooks", "--credentials", "-", given="{}")
    assert (refused.exit_code, "no API" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*BANQUP,), "nothing would prove"),
        ((*BANQUP, "--option", "token_in=path", "--base-url", "http://api.example"), "HTTPS only"),
        ((*BANQUP, "--option", "token_in=path", "--environment", "production"), "give --base-url"),
        (("source", "add", "c", "--bank", "connectpay", "--option", "status_path=/x"), "status_path=/x"),
        (("source", "add", "c", "--bank", "connectpay", "--option", "status_path=/client/{paymentOrderNo}"), "user"),
        (("source", "add", "s", "--bank", "standard_webhooks", "--option", "headers=stripe"), "webhook|svix"),
    ],
)
def test_wrong_use_is_said_and_adds_nothing(cli: Cli, words: tuple[str, ...], said: str) -> None:
    result = cli.run(*words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert cli.json("source", "list") == []


@pytest.mark.parametrize(
    ("bank", "options", "proof", "proven_by", "open_to"),
    [
        ("bcb", (), "signature", ["signature"], "whoever has the secret"),
        ("bcb", ("allowed_addresses=192.0.2.7",), "signature", ["signature", "address"], "whoever has the secret"),
        ("connectpay", (), "token", ["token", "address"], "whoever has seen one callback"),
        ("banqup", ("token_in=path",), "token", ["token"], "whoever has seen one callback"),
        ("banqup", ("allowed_addresses=192.0.2.0/24",), "address", ["address"], "can send from an address"),
        ("standard_webhooks", (), "signature", ["signature"], "whoever has the secret"),
        ("banking_circle", (), "encryption", ["encryption"], "whoever has the key"),
    ],
)
def test_show_tells_how_strongly_callbacks_are_proven_and_what_that_leaves_open(
    cli: Cli, bank: str, options: tuple[str, ...], proof: str, proven_by: list[str], open_to: str
) -> None:
    assert add(cli, bank, *(word for option in options for word in ("--option", option))).exit_code == 0
    shown = cli.json("source", "show", bank)
    assert (shown["proof"], shown["proven_by"], open_to in shown["proof_leaves_open"]) == (proof, proven_by, True)


@pytest.mark.parametrize(
    ("bank", "words", "secret", "done"),
    [
        ("standard_webhooks", (), WHSEC, True),
        ("standard_webhooks", (), "whpk_" + "A" * 43 + "=", True),
        ("standard_webhooks", (), "whsk_" + "A" * 43 + "=", False),
        ("standard_webhooks", (), "no Base64", False),
        ("connectpay", (), TOKEN, True),
        ("connectpay", (), "short", False),
        ("banqup", ("--option", "token_in=path"), TOKEN, True),
        ("banqup", ("--option", "token_in=path"), "a/path" * 5, False),
        ("banqup", ("--option", "allowed_addresses=192.0.2.7"), TOKEN, False),
    ],
)
def test_a_secret_is_taken_where_it_fits(cli: Cli, bank: str, words: tuple[str, ...], secret: str, done: bool) -> None:
    add(cli, bank, *words)
    result = cli.run("secret", "set", bank, given=secret)
    assert (result.exit_code == 0) is done
    assert secret not in result.output


def test_only_a_bank_that_takes_it_can_be_told_where_callbacks_go(cli: Cli, live: Runtime) -> None:
    others.add(live, "connectpay", TOKEN, base_url="http://127.0.0.1:1")
    result = cli.run("source", "register", "connectpay", "--url", "https://receiver.example")
    assert result.exit_code == 1
    assert "in another way" in result.stderr


@pytest.mark.parametrize(
    "url", ["http://receiver.example", "https://", "https://receiver.example/path", "https://a@b", "x"]
)
def test_the_receiver_s_own_address_is_https_without_a_path(cli: Cli, live: Runtime, url: str) -> None:
    others.add(live, "banqup", TOKEN, token_in="path")
    result = cli.run("source", "register", "banqup", "--url", url)
    assert (result.exit_code, "--url takes" in result.stderr) == (2, True)


def test_a_bank_that_can_t_be_reached_is_a_failure_in_one_line(cli: Cli, live: Runtime) -> None:
    others.add(live, "banqup", TOKEN, base_url="https://127.0.0.1:1", token_in="path")
    result = cli.run("source", "register", "banqup", "--url", "https://receiver.example")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert TOKEN not in result.output
    assert [entry["what"] for entry in cli.json("audit", "list")] == ["source.registering"]


def test_doctor_warns_of_weak_proofs_and_of_silence_and_asks_nothing_where_there_is_no_api(
    cli: Cli, live: Runtime
) -> None:
    others.add(live, "banqup", None, allowed_addresses=["192.0.2.0/24"])
    others.add(live, "standard_webhooks", WHSEC)
    source = others.add(live, "connectpay", TOKEN, quiet_hours=1)
    with live.database.write() as connection:
        sources.change(connection, source.id, created_at=live.clock() - timedelta(hours=2))
    lines = cli.done("doctor").splitlines()
    assert any(line.startswith("warn  banqup proof: address only") for line in lines)
    assert "ok    banqup secrets: none needed" in lines
    assert "ok    standard_webhooks bank: it has no API; nothing it tells is checked" in lines
    assert any(line.startswith("ok    connectpay proof: token only") for line in lines)
    (silent,) = (line for line in lines if line.startswith("warn  connectpay callbacks"))
    assert "no callback" in silent
    assert "switches them off" in silent


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"clientid": "a", "client_secrt": "b"},
            "'client_secrt' is no credential of this bank; client_secret? It takes",
        ),
        ({"client_id": "a", "clientSecret": "b", "colour": "c"}, "'colour' is no credential of this bank"),
        ({"client_id": "a", "clientId": "b", "clientSecret": "c"}, "gives a name twice"),
        ([], "no JSON object"),
    ],
)
def test_names_that_are_none_are_refused_with_the_nearest(cli: Cli, given: object, said: str) -> None:
    result = cli.run("source", "add", "bcb", "--bank", "bcb", "--credentials", "-", given=json.dumps(given))
    assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    assert cli.json("source", "list") == []


def test_every_bank_with_an_api_takes_a_ca_of_its_own_and_it_stays_when_the_credentials_change(
    cli: Cli, live: Runtime, tmp_path: Path
) -> None:
    new_certificate(tmp_path)
    given = {"client_id": "a", "client_secret": "b", "ca_certificate": "certificate.pem"}
    (tmp_path / "c.json").write_text(json.dumps(given))
    cli.done("source", "add", "bcb", "--bank", "bcb", "--credentials", str(tmp_path / "c.json"))
    with live.database.write() as connection:
        source = sources.find(connection, "bcb")
        assert source is not None
        sources.renew_credentials(connection, live.encryption, source, {"client_id": "c", "client_secret": "d"})
        stored = sources.credentials(connection, live.encryption, source) or {}
    assert set(stored) == {"client_id", "client_secret", "ca_certificate"}
    assert stored["client_id"] == "c"
    (tmp_path / "certificate.pem").write_text("no PEM")
    result = cli.run("source", "add", "other", "--bank", "bcb", "--credentials", str(tmp_path / "c.json"))
    assert (result.exit_code, "CA certificate" in result.stderr) == (1, True)
