"""`receiver source`."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from bank import BankSigner, deposit
from cli.commands import Cli, Send
from reconcile.test_unforeseen import MISSING, of_another_release

from receiver.runtime import Runtime
from receiver.store import sources
from receiver.store.sources import SourceRecord

GIVEN = {"client_id": "the-client", "client_secret": "the-hidden-secret"}


def credentials_of(live: Runtime, name: str) -> dict[str, str] | None:
    with live.database.read() as connection:
        found = sources.find(connection, name)
        assert found is not None
        return sources.credentials(connection, live.encryption, found)


def test_adding_says_where_callbacks_go_and_what_comes_next(cli: Cli, live: Runtime) -> None:
    result = cli.run("source", "add", "bcb-uat", "--bank", "bcb", "--credentials", "-", given=json.dumps(GIVEN))
    assert (result.exit_code, result.stdout) == (
        0,
        "Added source bcb-uat. Its callbacks go to /webhooks/bcb-uat\n",
    )
    assert "receiver secret set bcb-uat" in result.stderr
    assert credentials_of(live, "bcb-uat") == GIVEN


def test_the_public_prefix_is_part_of_where_callbacks_go(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_PUBLIC_PATH_PREFIX", "/bank")
    assert "/bank/webhooks/bcb\n" in cli.done("source", "add", "bcb", "--bank", "bcb")


def test_credentials_may_be_in_a_file(cli: Cli, live: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(GIVEN))
    cli.done("source", "add", "bcb", "--bank", "bcb", "--credentials", str(file))
    assert credentials_of(live, "bcb") == GIVEN


def test_credentials_may_begin_with_a_byte_order_mark(cli: Cli, live: Runtime) -> None:
    given = "\ufeff" + json.dumps(GIVEN)
    cli.done("source", "add", "bcb", "--bank", "bcb", "--credentials", "-", given=given)
    assert credentials_of(live, "bcb") == GIVEN


def test_credentials_may_be_spelt_as_the_bank_does(cli: Cli, live: Runtime) -> None:
    spelt = json.dumps({"clientId": "the-client", "clientSecret": "the-hidden-secret"})
    cli.done("source", "add", "bcb", "--bank", "bcb", "--credentials", "-", given=spelt)
    assert credentials_of(live, "bcb") == GIVEN


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "--credentials is not JSON"),
        ("", "--credentials is not JSON"),
        (b"\xff\xfe\x00", "--credentials is not JSON"),
        ("[]", "--credentials is no JSON object"),
        ('"the-hidden-secret"', "--credentials is no JSON object"),
        ('{"client_id": "a"}', "--credentials lacks client_secret"),
        ('{"client_id": "a", "client_secret": ""}', "--credentials lacks client_secret"),
        ('{"client_id": 7, "client_secret": "the-hidden-secret"}', "--credentials lacks client_id"),
    ],
)
def test_unusable_credentials_add_nothing_and_are_not_repeated(cli: Cli, given: str | bytes, said: str) -> None:
    result = cli.run("source", "add", "bcb", "--bank", "bcb", "--credentials", "-", given=given)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "the-hidden-secret" not in result.output
    assert cli.json("source", "list") == []


def test_a_file_that_is_not_there_is_wrong_use(cli: Cli) -> None:
    assert cli.run("source", "add", "bcb", "--bank", "bcb", "--credentials", "nowhere.json").exit_code == 2


def test_without_a_terminal_nothing_is_asked_and_the_lack_is_said(cli: Cli, live: Runtime) -> None:
    result = cli.run("source", "add", "bcb", "--bank", "bcb")
    assert result.exit_code == 0
    assert "can't be checked" in result.stderr
    assert credentials_of(live, "bcb") is None


@pytest.mark.parametrize(("typed", "stored"), [("the-client\nthe-hidden-secret\n", GIVEN), ("\n\n", None)])
def test_at_a_terminal_credentials_are_asked_for_and_the_secret_is_not_echoed(
    cli: Cli, live: Runtime, monkeypatch: pytest.MonkeyPatch, typed: str, stored: dict[str, str] | None
) -> None:
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("receiver.cli.credentials_input.sys", terminal)
    result = cli.run("source", "add", "bcb", "--bank", "bcb", given=typed)
    assert result.exit_code == 0
    assert "the-hidden-secret" not in result.output
    assert credentials_of(live, "bcb") == stored


def test_a_name_is_taken_once(cli: Cli) -> None:
    cli.done("source", "add", "bcb", "--bank", "bcb")
    result = cli.run("source", "add", "bcb", "--bank", "bcb")
    assert (result.exit_code, result.stderr) == (1, "Error: there is a source 'bcb' already\n")


@pytest.mark.parametrize(
    "words",
    [
        ("source", "add", "BCB", "--bank", "bcb"),
        ("source", "add", "a/b", "--bank", "bcb"),
        ("source", "add", "x" * 65, "--bank", "bcb"),
        ("source", "add", "", "--bank", "bcb"),
        ("source", "add", "bcb"),
        ("source", "add", "bcb", "--bank", "unheard-of"),
        ("source", "add", "bcb", "--bank", "bcb", "--environment", "moon"),
        ("source", "add", "bcb", "--bank", "bcb", "--base-url", "ftp://bank"),
        ("source", "add", "bcb", "--bank", "bcb", "--option", "encoding"),
        ("source", "add", "bcb", "--bank", "bcb", "--option", "encoding=rot13"),
        ("source", "add", "bcb", "--bank", "bcb", "--option", "colour=blue"),
        ("source", "add", "bcb", "--bank", "bcb", "--option", "requests_per_window=0"),
        ("source", "add", "bcb", "--bank", "bcb", "--option", "channels="),
    ],
    ids=" ".join,
)
def test_wrong_use_adds_nothing(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli.run(*words)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert cli.json("source", "list") == []


def test_show_tells_options_and_the_state_of_secrets_but_none_of_them(cli: Cli) -> None:
    options = ("--option", "encoding=utf8", "--option", "channels=deposits,jobs", "--option", "requests_per_window=60")
    cli.done("source", "add", "bcb", "--bank", "bcb", "--credentials", "-", *options, given=json.dumps(GIVEN))
    cli.done("secret", "set", "bcb", given="the signing secret")
    shown = cli.json("source", "show", "bcb")
    assert shown["options"] == {"encoding": "utf8", "channels": ["deposits", "jobs"], "requests_per_window": 60}
    assert (shown["api_credentials"], shown["secrets"], shown["enabled"]) == (True, [1], True)
    for text in (json.dumps(shown), cli.done("source", "show", "bcb")):
        assert "the-hidden-secret" not in text
        assert "signing secret" not in text


def test_the_bank_s_own_address_follows_the_environment(cli: Cli) -> None:
    cli.done("source", "add", "live", "--bank", "bcb", "--environment", "production")
    cli.done("source", "add", "test", "--bank", "bcb")
    cli.done("source", "add", "mine", "--bank", "bcb", "--base-url", "http://127.0.0.1:9900")
    assert {found["name"]: found["base_url"] for found in cli.json("source", "list")} == {
        "live": "https://api.bcb.bm",
        "mine": "http://127.0.0.1:9900",
        "test": "https://api-uat.bcb.bm",
    }


@pytest.mark.usefixtures("known")
def test_disabling_and_enabling_are_seen_in_the_list(cli: Cli) -> None:
    cli.done("source", "disable", "bcb")
    assert [found["enabled"] for found in cli.json("source", "list")] == [False]
    cli.done("source", "enable", "bcb")
    assert [found["enabled"] for found in cli.json("source", "list")] == [True]


@pytest.mark.parametrize("command", ["show", "disable", "enable"])
@pytest.mark.usefixtures("known")
def test_a_source_that_does_not_exist_is_wrong_use_and_told_with_the_nearest(cli: Cli, command: str) -> None:
    result = cli.run("source", command, "bbc")
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: there is no source 'bbc'; the nearest is 'bcb'\n")


def test_an_empty_list_says_so_on_standard_error(cli: Cli) -> None:
    result = cli.run("source", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "There is no source yet.\n")


def test_a_source_that_nothing_came_of_is_removed_and_its_name_is_free(cli: Cli, known: SourceRecord) -> None:
    said = cli.done("source", "remove", "bcb")
    assert f"its name is free (source list --all: bcb~{known.id})" in said
    assert cli.json("source", "list") == []
    (former,) = cli.json("source", "list", "--all")
    assert (former["name"], former["enabled"]) == (f"bcb~{known.id}", False)
    cli.done("source", "add", "bcb", "--bank", "bcb")


@pytest.mark.usefixtures("known")
def test_one_that_was_used_is_hidden_and_stays_a_filter(cli: Cli, send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit()))
    assert "it is hidden" in cli.done("source", "remove", "bcb")
    assert len(cli.json("events", "list", "--source", "bcb")) == 1
    anew = cli.run("source", "add", "bcb", "--bank", "bcb")
    assert (anew.exit_code, "already" in anew.stderr) == (1, True)
    assert "was removed" in cli.run("source", "enable", "bcb").stderr
    assert "bcb" not in cli.done("doctor")


@pytest.mark.usefixtures("known")
def test_a_source_whose_bank_there_is_not_is_shown_and_hides_no_other(cli: Cli, live: Runtime) -> None:
    of_another_release(live, "moon")
    assert {each["name"]: each["bank"] for each in cli.json("source", "list")} == {"bcb": "bcb", "moon": "moon"}
    shown = cli.json("source", "show", "moon")
    assert (shown["proof"], shown["proof_leaves_open"]) == (None, MISSING)
    assert {each["source"] for each in cli.json("days", "list")} == {"bcb"}
    assert "moon" in cli.done("source", "remove", "moon")
