"""`receiver source set`."""

import itertools
import time

import pytest
import requests
from bank import BankSigner, deposit
from cli.commands import Cli
from conftest import add_source
from servers import WebServer

from receiver.runtime import Runtime
from receiver.store import sources


@pytest.fixture
def _with_credentials(live: Runtime) -> None:
    add_source(live, base_url="https://bank.example", channels=["jobs"])


@pytest.mark.usefixtures("_with_credentials")
def test_options_address_and_environment_are_changed_and_audited(cli: Cli, live: Runtime) -> None:
    said = cli.done(
        "source",
        "set",
        "bcb",
        "--option",
        "allowed_addresses=192.0.2.7,198.51.100.0/24",
        "--unset",
        "channels",
        "--base-url",
        "",
        "--environment",
        "production",
    )
    assert said == "Source bcb is changed. Its API credentials go to https://api.bcb.bm alone.\n"
    shown = cli.json("source", "show", "bcb")
    assert shown["options"] == {"allowed_addresses": ["192.0.2.7/32", "198.51.100.0/24"]}
    assert (shown["base_url"], shown["environment"]) == ("https://api.bcb.bm", "production")
    (entry,) = cli.json("audit", "list")
    assert (entry["what"], entry["about"]) == (
        "source.set",
        {
            "source": "bcb",
            "options": {"allowed_addresses": "192.0.2.7,198.51.100.0/24"},
            "unset": ["channels"],
            "base_url": None,
            "environment": "production",
        },
    )
    with live.database.read() as connection:
        found = sources.find(connection, "bcb")
        assert found is not None
        assert sources.credentials(connection, live.encryption, found) == {
            "client_id": "simulator-client",
            "client_secret": "simulator-secret",
        }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "nothing to set"),
        (("--option", "encoding"), 2, "KEY=VALUE"),
        (("--option", "encoding=x"), 2, "encoding=x is not an option of bcb"),
        (("--option", "color=red"), 2, "color=red is not an option of bcb"),
        (("--option", "encoding=utf8", "--option", "encoding=base64"), 2, "--option encoding is given twice"),
        (("--option", "channels=a", "--unset", "channels"), 2, "channels is to be set and unset"),
        (("--unset", "channels", "--unset", "channels"), 2, "twice"),
        (("--unset", "encoding"), 1, "bcb has no option encoding set; set: channels"),
        (("--base-url", "http://bank.example"), 2, "--base-url: http:// shows everybody"),
        (("--base-url", "bank.example"), 2, "--base-url"),
        (("--environment", "moon"), 2, "moon"),
    ],
)
@pytest.mark.usefixtures("_with_credentials")
def test_what_is_wrong_is_said_and_changes_nothing(cli: Cli, words: tuple[str, ...], code: int, said: str) -> None:
    before = cli.json("source", "show", "bcb")
    result = cli.run("source", "set", "bcb", *words)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert cli.json("source", "show", "bcb") == before
    assert cli.json("audit", "list") == []


def test_a_source_that_is_not_there_and_an_option_given_twice_when_one_is_added(cli: Cli) -> None:
    assert "no source 'none'" in cli.run("source", "set", "none", "--option", "encoding=utf8").stderr
    twice = cli.run("source", "add", "x", "--bank", "bcb", "--option", "encoding=utf8", "--option", "encoding=utf8")
    assert (twice.exit_code, "given twice" in twice.stderr) == (2, True)


def test_it_is_in_use_within_a_second_by_every_process(cli: Cli, server: WebServer, live_bank: BankSigner) -> None:
    numbers = itertools.count()

    def answers() -> set[int]:
        found = set()
        for _ in range(8):
            signed = live_bank.sign(deposit(transactionId=f"FT{next(numbers)}"))
            answer = requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=10)
            found.add(answer.status_code)
        return found

    assert answers() == {200}
    cli.done("source", "set", "bcb", "--option", "allowed_addresses=192.0.2.7")
    # What is promised is `CACHE_SECONDS`; how long a busy machine takes for a look is no part of it.
    ends = time.monotonic() + 20
    while answers() != {401}:
        assert time.monotonic() < ends
