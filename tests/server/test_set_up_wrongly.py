"""A source that was set up wrongly: real callbacks are refused, and the command line leads out of it."""

import json
import time
from collections.abc import Iterator

import pytest
import requests
from bank import SECRET, BankSigner, deposit
from cli.commands import Cli
from conftest import KEY
from others import CONNECTPAY_ADDRESS, TOKEN, outgoing
from servers import WebServer, environment

from receiver import runtime


@pytest.fixture
def cli(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("RECEIVER_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
    return Cli()


@pytest.fixture
def server(sqlite_url: str) -> Iterator[WebServer]:
    """A real gunicorn behind a proxy on this machine, with no source yet."""
    started = WebServer(environment(sqlite_url, KEY, RECEIVER_TRUSTED_PROXIES="127.0.0.1")).start()
    yield started
    started.stop()


def follow(cli: Cli, name: str) -> None:
    """Do what `doctor` and `explain` say, to the letter, and see that it mends what was refused."""
    (found,) = cli.json("deliveries", "list")
    said = cli.run("doctor").stdout
    (warning,) = [line for line in said.splitlines() if line.startswith(f"warn  {name} refused: ")]
    commands = cli.done("deliveries", "explain", found["id"]).partition("To put it right:\n")[2].splitlines()
    assert warning.endswith(f"{found['id']} would be taken: {' && '.join(commands)}")
    for number, command in enumerate(commands):
        words = command.split()
        assert words[0] == "receiver"
        result = cli.run(*words[1:])
        assert result.exit_code == 0, result.output
        if number == 0:
            assert commands[1] in result.stderr, "the change itself says what comes next"
    assert "1 accepted" in result.stdout
    assert f"{name} refused" not in cli.run("doctor").stdout


def test_bcb_with_the_wrong_encoding(cli: Cli, server: WebServer) -> None:
    cli.done("source", "add", "bcb", "--bank", "bcb")
    cli.done("secret", "set", "bcb", given=SECRET)
    signer = BankSigner(runtime.utc_now, encoding="utf8")
    signed = signer.sign(deposit())
    assert requests.post(server.url + signed.path, signed.body, headers=signed.headers, timeout=30).status_code == 401
    follow(cli, "bcb")
    assert [event["payment_id"] for event in cli.json("events", "list")] == ["FT2384654NXF6"]
    assert cli.json("source", "show", "bcb")["options"] == {"encoding": "utf8"}


def test_connectpay_with_the_name_of_another_header(cli: Cli, server: WebServer) -> None:
    cli.done("source", "add", "connectpay", "--bank", "connectpay")
    cli.done("secret", "set", "connectpay", given=TOKEN)
    headers = {"X-Partner-Token": TOKEN, "X-Forwarded-For": CONNECTPAY_ADDRESS}
    body = json.dumps(outgoing())
    url = f"{server.url}/webhooks/connectpay"
    assert requests.post(url, body, headers=headers, timeout=30).status_code == 401
    follow(cli, "connectpay")
    assert [event["payment_id"] for event in cli.json("events", "list")] == ["PO-1"]
    assert cli.json("source", "show", "connectpay")["options"] == {"token_header": "x-partner-token"}
    # Those after that are taken, by each process within a second.
    body, ends = json.dumps(outgoing(order="PO-2")), time.monotonic() + 60
    while requests.post(url, body, headers=headers, timeout=30).status_code != 200:
        assert time.monotonic() < ends
