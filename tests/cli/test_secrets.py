"""`receiver secret`."""

import base64
from types import SimpleNamespace

import pytest
from bank import SECRET, BankSigner, deposit
from cli.commands import Cli, Send
from conftest import KEY, add_source

from receiver import runtime
from receiver.admin import bcb_from_environment
from receiver.runtime import Runtime
from receiver.settings import load_settings
from receiver.store import signing_secrets
from receiver.store.sources import SourceRecord

NEW = "A" * 43 + "="


@pytest.mark.parametrize("encoding", ["base64", "utf8"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_standard_input_and_not_repeated(
    cli: Cli, live: Runtime, begin: str, end: str, encoding: str
) -> None:
    source = add_source(live, secret=None, encoding=encoding)
    result = cli.run("secret", "set", "bcb", given=begin + SECRET + end)
    with live.database.read() as connection:
        assert [kept.text for kept in signing_secrets.every(connection, live.encryption, source.id)] == [SECRET]
    assert result.exit_code == 0
    assert "Secret 1 of bcb is the current one" in result.stdout
    assert SECRET not in result.output


def test_at_a_terminal_it_is_asked_for_unseen(cli: Cli, live: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    add_source(live, secret=None)
    monkeypatch.setattr("receiver.cli.secrets.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    result = cli.run("secret", "set", "bcb", given=SECRET + "\n")
    assert result.exit_code == 0
    assert SECRET not in result.output


def test_callbacks_are_proven_by_it_at_once_and_by_the_one_before_it_too(
    cli: Cli, send: Send, signer: BankSigner
) -> None:
    cli.done("secret", "set", "bcb", given=NEW)
    new = BankSigner(signer.clock, secret=NEW)
    assert send(new.sign(deposit())).status_code == 200
    assert send(signer.sign(deposit(transactionId="FT2"))).status_code == 200


def test_without_grace_the_one_before_it_is_worthless_at_once(
    cli: Cli, send: Send, signer: BankSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECEIVER_SECRET_GRACE_SECONDS", "0")
    cli.done("secret", "set", "bcb", given=NEW)
    assert send(signer.sign(deposit())).status_code == 401
    assert [version["state"] for version in cli.json("secret", "list", "bcb")] == ["current", "expired"]


@pytest.mark.usefixtures("known")
def test_the_list_tells_versions_and_their_state_alone(cli: Cli) -> None:
    cli.done("secret", "set", "bcb", given=NEW)
    versions = cli.json("secret", "list", "bcb")
    assert [(version["version"], version["state"]) for version in versions] == [(2, "current"), (1, "valid")]
    text = cli.done("secret", "list", "bcb")
    assert SECRET not in text
    assert NEW not in text


@pytest.mark.usefixtures("known")
def test_setting_the_current_one_again_makes_no_new_version(cli: Cli) -> None:
    assert cli.done("secret", "set", "bcb", given=SECRET) == (
        "Secret 1 of bcb is the current one already; nothing is changed.\n"
    )
    assert len(cli.json("secret", "list", "bcb")) == 1
    assert cli.json("audit", "list") == []


def test_the_one_before_the_current_one_has_no_end_if_the_current_one_is_set_again(
    cli: Cli, live: Runtime, known: SourceRecord
) -> None:
    with live.database.write() as connection:
        signing_secrets.put(connection, live.encryption, known.id, NEW, now=live.clock(), grace_seconds=None)
    assert "nothing is changed" in cli.done("secret", "set", "bcb", given=NEW)
    assert [row["state"] for row in cli.json("secret", "list", "bcb")] == ["current", "current"]


@pytest.mark.parametrize("given", ["", "\n", "no Base64!", SECRET[:-1], SECRET + SECRET, b"\xff\xfe\x00"])
@pytest.mark.usefixtures("known")
def test_what_is_not_base64_is_refused_and_not_repeated(cli: Cli, given: str | bytes) -> None:
    result = cli.run("secret", "set", "bcb", given=given)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: secret_malformed")
    assert "no Base64!" not in result.output
    assert len(cli.json("secret", "list", "bcb")) == 1


def test_any_text_is_a_secret_where_the_source_says_utf8(cli: Cli, live: Runtime) -> None:
    add_source(live, secret=None, encoding="utf8")
    cli.done("secret", "set", "bcb", given="this is no Base64!")
    assert len(cli.json("secret", "list", "bcb")) == 1


@pytest.mark.parametrize("command", ["set", "list"])
def test_a_source_that_does_not_exist_fails(cli: Cli, command: str) -> None:
    result = cli.run("secret", command, "bcb", given=SECRET)
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: there is no source 'bcb'; there is none yet\n")


def test_a_source_without_a_secret_says_so(cli: Cli, live: Runtime) -> None:
    add_source(live, secret=None)
    assert cli.run("secret", "list", "bcb").stderr == "bcb has no secret yet.\n"


@pytest.mark.usefixtures("known")
def test_a_real_process_reads_a_pipe(cli: Cli) -> None:
    ended = cli.process("secret", "set", "bcb", given=NEW.encode() + b"\n")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert NEW.encode() not in ended.stdout


@pytest.mark.usefixtures("known")
def test_a_real_process_that_is_given_no_text_fails_in_one_line(cli: Cli) -> None:
    ended = cli.process("secret", "set", "bcb", given=b"\xff\xfe")
    assert ended.returncode == 1
    assert ended.stderr.count(b"\n") == 1


def test_an_expired_version_proves_nothing_from_then_on(cli: Cli, send: Send, signer: BankSigner) -> None:
    cli.done("secret", "set", "bcb", given=NEW)
    assert cli.done("secret", "expire", "bcb", "1") == "Secret 1 of bcb has expired.\n"
    assert send(signer.sign(deposit())).status_code == 401
    assert [version["state"] for version in cli.json("secret", "list", "bcb")] == ["current", "expired"]
    assert cli.json("audit", "list")[0]["what"] == "secret.expired"


@pytest.mark.usefixtures("known")
def test_expiring_the_last_one_says_what_that_means(cli: Cli) -> None:
    assert "bcb has no valid secret left: its callbacks get 503" in cli.run("secret", "expire", "bcb", "1").stderr


@pytest.mark.usefixtures("known")
def test_a_secret_that_was_expired_and_is_set_again_is_a_new_version(cli: Cli, send: Send, signer: BankSigner) -> None:
    cli.done("secret", "expire", "bcb", "1")
    assert "Secret 2 of bcb is the current one" in cli.done("secret", "set", "bcb", given=SECRET)
    assert send(signer.sign(deposit())).status_code == 200


@pytest.mark.parametrize("version", ["2", "1"])
@pytest.mark.usefixtures("known")
def test_a_version_that_is_not_valid_can_not_be_expired(cli: Cli, version: str) -> None:
    cli.done("secret", "expire", "bcb", "1")
    result = cli.run("secret", "expire", "bcb", version)
    assert (result.exit_code, result.stderr) == (1, f"Error: bcb has no valid secret {version}\n")


def test_the_old_key_can_be_dropped_once_all_is_encrypted_anew(
    cli: Cli, live: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_source(live, base_url="http://127.0.0.1:1")
    newer = base64.urlsafe_b64encode(bytes(32)).decode()
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", f"{newer},{KEY}")
    assert "Encrypted 3 secrets anew" in cli.done("secret", "reencrypt")
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", newer)
    assert "ok    bcb secrets: 1 valid" in cli.run("doctor").stdout
    assert "POST /auth/token: the connection was refused" in cli.run("doctor").stdout


@pytest.mark.usefixtures("known")
def test_what_no_key_opens_changes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", base64.urlsafe_b64encode(bytes(32)).decode())
    result = cli.run("secret", "reencrypt")
    assert result.exit_code == 1
    assert "no key in RECEIVER_SECRET_KEYS opens the stored sealed of signing_secrets 1" in result.stderr
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
    assert cli.done("secret", "reencrypt")


def test_a_dropped_key_does_not_let_the_environment_set_rotated_secrets_back(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCB_MESSAGE_SIGNING_SECRET", SECRET)
    keys = [KEY, base64.urlsafe_b64encode(b"\1" * 32).decode()]

    def start(*secret_keys: str) -> None:
        monkeypatch.setenv("RECEIVER_SECRET_KEYS", ",".join(secret_keys))
        bcb_from_environment.apply(runtime.start(load_settings()))

    start(keys[0])
    cli.done("secret", "set", "bcb", given=NEW)
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", f"{keys[1]},{keys[0]}")
    cli.done("secret", "reencrypt")
    start(keys[1])
    assert [version["state"] for version in cli.json("secret", "list", "bcb")] == ["current", "valid"]
