"""`receiver secret`."""

from types import SimpleNamespace

import pytest
from bank import SECRET, BankSigner, deposit
from conftest import add_source

NEW = "A" * 43 + "="


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_standard_input_and_not_repeated(cli, live, end):
    add_source(live, secret=None)
    result = cli.run("secret", "set", "bcb", given=SECRET + end)
    assert result.exit_code == 0
    assert "Secret 1 of bcb is the current one" in result.stdout
    assert SECRET not in result.output


def test_at_a_terminal_it_is_asked_for_unseen(cli, live, monkeypatch):
    add_source(live, secret=None)
    monkeypatch.setattr("receiver.cli.secrets.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    result = cli.run("secret", "set", "bcb", given=SECRET + "\n")
    assert result.exit_code == 0
    assert SECRET not in result.output


def test_callbacks_are_proven_by_it_at_once_and_by_the_one_before_it_too(cli, send, signer):
    cli.done("secret", "set", "bcb", given=NEW)
    new = BankSigner(signer.clock, secret=NEW)
    assert send(new.sign(deposit())).status_code == 200
    assert send(signer.sign(deposit(transactionId="FT2"))).status_code == 200


def test_without_grace_the_one_before_it_is_worthless_at_once(cli, send, signer, monkeypatch):
    monkeypatch.setenv("RECEIVER_SECRET_GRACE_SECONDS", "0")
    cli.done("secret", "set", "bcb", given=NEW)
    assert send(signer.sign(deposit())).status_code == 401
    assert [version["state"] for version in cli.json("secret", "list", "bcb")] == ["current", "expired"]


@pytest.mark.usefixtures("known")
def test_the_list_tells_versions_and_their_state_alone(cli):
    cli.done("secret", "set", "bcb", given=NEW)
    versions = cli.json("secret", "list", "bcb")
    assert [(version["version"], version["state"]) for version in versions] == [(2, "current"), (1, "valid")]
    text = cli.done("secret", "list", "bcb")
    assert SECRET not in text
    assert NEW not in text


@pytest.mark.usefixtures("known")
def test_setting_the_current_one_again_makes_no_new_version(cli):
    cli.done("secret", "set", "bcb", given=SECRET)
    assert len(cli.json("secret", "list", "bcb")) == 1


@pytest.mark.parametrize("given", ["", "\n", "no Base64!", SECRET[:-1], SECRET + SECRET, b"\xff\xfe\x00"])
@pytest.mark.usefixtures("known")
def test_what_is_not_base64_is_refused_and_not_repeated(cli, given):
    result = cli.run("secret", "set", "bcb", given=given)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: secret_malformed")
    assert "no Base64!" not in result.output
    assert len(cli.json("secret", "list", "bcb")) == 1


def test_any_text_is_a_secret_where_the_source_says_utf8(cli, live):
    add_source(live, secret=None, encoding="utf8")
    cli.done("secret", "set", "bcb", given="no Base64!")
    assert len(cli.json("secret", "list", "bcb")) == 1


@pytest.mark.parametrize("command", ["set", "list"])
def test_a_source_that_does_not_exist_fails(cli, command):
    result = cli.run("secret", command, "bcb", given=SECRET)
    assert (result.exit_code, result.stderr) == (1, "Error: there is no source 'bcb'; known: none\n")


def test_a_source_without_a_secret_says_so(cli, live):
    add_source(live, secret=None)
    assert cli.run("secret", "list", "bcb").stderr == "bcb has no secret yet.\n"


@pytest.mark.usefixtures("known")
def test_a_real_process_reads_a_pipe(cli):
    ended = cli.process("secret", "set", "bcb", given=NEW.encode() + b"\n")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert NEW.encode() not in ended.stdout


@pytest.mark.usefixtures("known")
def test_a_real_process_that_is_given_no_text_fails_in_one_line(cli):
    ended = cli.process("secret", "set", "bcb", given=b"\xff\xfe")
    assert ended.returncode == 1
    assert ended.stderr.count(b"\n") == 1
