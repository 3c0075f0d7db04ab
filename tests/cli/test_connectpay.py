"""`receiver connectpay call`, against a simulated bank."""

import json
from collections.abc import Iterator

import others
import pytest
import requests
from cli.commands import Cli
from others import TOKEN

from receiver.runtime import Runtime
from receiver.simulator.connectpay import Config, Simulator

USERS = "/baas-sca/user-management/partner/users"
SIGN_OUT = "/baas-sca/user-management/client/users/logout"
AS_USER = ("--user-token", "-", "--user-ip", "203.0.113.7")


@pytest.fixture
def simulator(live: Runtime) -> Iterator[Simulator]:
    """A bank, and the source `connectpay` whose bank it is."""
    with Simulator(Config(requests_per_second=0)) as started:
        others.add(live, "connectpay", TOKEN, base_url=started.url)
        yield started


def user_token(simulator: Simulator) -> str:
    answer = requests.post(f"{simulator.url}/_simulator/user-tokens", timeout=60)
    token: str = answer.json()["token"]
    return token


def test_a_partner_call_shows_the_key_and_is_audited(cli: Cli, simulator: Simulator) -> None:  # noqa: ARG001
    answer = json.loads(cli.done("connectpay", "call", "connectpay", "get", f"{USERS}?page=1"))
    assert answer["users"][0]["status"] == "ACTIVE"
    (entry,) = cli.json("audit", "list")
    about = {"source": "connectpay", "method": "GET", "path": USERS, "as_user": False}
    assert (entry["what"], entry["about"]) == ("connectpay.called", about)


def test_a_user_call_shows_the_token_and_the_address_and_takes_a_body(cli: Cli, simulator: Simulator) -> None:
    token = user_token(simulator)
    words = ("connectpay", "call", "connectpay", "POST", SIGN_OUT, *AS_USER)
    assert json.loads(cli.done(*words, given=f'{token}\n{{"everywhere": true}}')) == {}
    # It is signed out by now.
    refused = cli.run(*words, given=token)
    assert (refused.exit_code, "401" in refused.stderr) == (1, True)
    assert token not in refused.output
    assert token not in json.dumps(cli.json("audit", "list"))


@pytest.mark.parametrize(
    ("method", "path", "more", "given", "said"),
    [
        ("GET", "https://elsewhere.example/x", (), "", "no path of the API"),
        ("GET", "@elsewhere.example/x", (), "", "no path of the API"),
        ("GET", "//elsewhere.example/x", (), "", "no path of the API"),
        ("GET", "/\\elsewhere.example", (), "", "no path of the API"),
        ("GET", "/x/../../y", (), "", "leads out of itself"),
        ("GET", "/x/%2e%2E/y", (), "", "leads out of itself"),
        ("GET", "/x/%252e%252e/y", (), "", "leads out of itself"),
        ("GET", "/x/..%2fy", (), "", "leads out of itself"),
        ("GET", "/x/%0d%0aHost:y", (), "", "leads out of itself"),
        ("GET", "/x#y", (), "", "no path of the API"),
        ("GET", "/baas/%63lient/x", (), "", "can be read with /client/ and without"),
        ("GET", "/baas/Client/x", (), "", "can be read with /client/ and without"),
        ("GET", SIGN_OUT, (), "", "needs the token of a user"),
        ("GET", SIGN_OUT, ("--user-token", "-"), "token", "takes both"),
        ("GET", SIGN_OUT, AS_USER, "", "needs the token of a user"),
        ("GET", SIGN_OUT, ("--user-token", "-", "--user-ip", "home"), "token", "the user's own IP address"),
        ("GET", USERS, AS_USER, "token", "a user's token is never sent"),
        ("GET", USERS, (), "{}", "a GET takes no body"),
        ("POST", USERS, (), "[]", "no JSON object"),
        ("POST", USERS, (), "{", "not JSON"),
        ("TRACE", USERS, (), "", "TRACE"),
    ],
)
def test_what_leads_elsewhere_or_lacks_something_is_wrong_use(
    cli: Cli, method: str, path: str, more: tuple[str, ...], given: str, said: str
) -> None:
    result = cli.run("connectpay", "call", "connectpay", method, path, *more, given=given)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert cli.json("audit", "list") == []


def test_another_bank_s_source_and_a_disabled_one_are_not_called(cli: Cli, live: Runtime) -> None:
    others.add(live, "banqup", None, token_in="header")
    others.add(live, "connectpay", TOKEN)
    cli.done("source", "disable", "connectpay")
    for name, said in (("banqup", "not of connectpay"), ("connectpay", "is disabled")):
        result = cli.run("connectpay", "call", name, "GET", USERS)
        assert (result.exit_code, said in result.stderr) == (1, True)


def test_what_the_bank_says_of_a_failed_call_repeats_nothing_that_was_sent(cli: Cli, simulator: Simulator) -> None:
    fault = {"kind": "status", "status": 400, "path": USERS}
    requests.post(f"{simulator.url}/_simulator/faults", json=fault, timeout=60)
    result = cli.run("connectpay", "call", "connectpay", "POST", USERS, given='{"user": {"pin": "hidden-pin-1234"}}')
    assert result.exit_code == 1
    assert "hidden-pin-1234" not in result.output
