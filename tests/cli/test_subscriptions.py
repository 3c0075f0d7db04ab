"""`receiver subscriptions`, at the two banks that have any, against their simulators."""

from collections.abc import Iterator

import banking_circle
import others
import pytest
from bank import SECRET
from cli.commands import Cli
from conftest import add_source
from encrypting_bank import KEY as AES_KEY

from receiver.runtime import Runtime
from receiver.simulator import banking_circle as banking_circle_simulator
from receiver.simulator.bcb import Simulator

ORIGIN = "https://callbacks.example.com"


@pytest.fixture(autouse=True)
def _reached_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_PUBLIC_URL", ORIGIN)
    monkeypatch.setenv("RECEIVER_PUBLIC_PATH_PREFIX", "/bank")


@pytest.fixture
def bcb(live: Runtime) -> Iterator[Simulator]:
    with Simulator() as simulator:
        add_source(live, base_url=simulator.url)
        yield simulator


@pytest.fixture
def bc(live: Runtime) -> Iterator[banking_circle_simulator.Simulator]:
    with banking_circle_simulator.Simulator(banking_circle_simulator.Config()) as simulator:
        banking_circle.add_source(live, simulator)
        yield simulator


def test_bcb_is_told_where_deposits_go_and_doctor_sees_it(cli: Cli, bcb: Simulator) -> None:  # noqa: ARG001
    address = f"{ORIGIN}/bank/webhooks/bcb"
    assert f"warn  bcb subscriptions: none that is active has the address {address}" in cli.run("doctor").stdout
    said = cli.done("subscriptions", "create", "bcb")
    assert said.endswith(f" sends Deposits to {address}.\n")
    assert "bcb subscriptions" not in cli.run("doctor").stdout
    (found,) = cli.json("subscriptions", "list", "bcb")
    assert found == {
        "id": found["id"],
        "active": True,
        "topics": ["Deposits"],
        "address": address,
        "comes_here": True,
    }
    twice = cli.run("subscriptions", "create", "bcb")
    assert (twice.exit_code, "every event would come twice" in twice.stderr) == (1, True)
    cli.done("subscriptions", "deactivate", "bcb", found["id"])
    assert f"{found['id']} has, and is not active" in cli.run("doctor").stdout
    acts = [(entry["what"], entry["about"]) for entry in reversed(cli.json("audit", "list"))]
    wanted = {"source": "bcb", "address": address, "topics": ["Deposits"]}
    assert acts == [
        ("subscription.creating", wanted),
        ("subscription.created", {**wanted, "subscriptions": [found["id"]]}),
        ("subscription.deactivating", {"source": "bcb", "subscription": found["id"]}),
        ("subscription.deactivated", {"source": "bcb", "subscription": found["id"]}),
    ]


def test_banking_circle_gets_the_key_then_each_event_and_takes_a_change_by_its_fresh_version(
    cli: Cli, bc: banking_circle_simulator.Simulator
) -> None:
    cli.done("subscriptions", "create", "bc", "--topic", "IncomingPaymentProcessed", "--topic", "Reversed")
    (found,) = cli.json("subscriptions", "list", "bc")
    assert (found["topics"], found["comes_here"]) == (["IncomingPaymentProcessed", "Reversed"], True)
    made = bc.bank.subscriptions[found["id"]]
    assert (made.key, made.status, sorted(made.events)) == (AES_KEY, 2, [1, 5])
    beside = cli.done("subscriptions", "create", "bc", "--channel", "second")
    assert beside.endswith(f"to {ORIGIN}/bank/webhooks/bc/second.\n")
    assert [each["comes_here"] for each in cli.json("subscriptions", "list", "bc")] == [True, True]
    cli.done("subscriptions", "deactivate", "bc", found["id"])
    assert made.status == 1
    assert [each["active"] for each in cli.json("subscriptions", "list", "bc")] == [False, True]
    made.status, made.events = 2, {}
    assert f"warn  bc subscriptions: {found['id']} names no event, so it stays silent" in cli.run("doctor").stdout
    assert AES_KEY not in str(cli.json("audit", "list"))


def test_an_event_that_is_not_added_is_said_and_what_was_made_is_named(
    cli: Cli, bc: banking_circle_simulator.Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from receiver.banks.banking_circle import subscriptions

    monkeypatch.setitem(subscriptions.EVENTS, "Reversed", 99)
    result = cli.run("subscriptions", "create", "bc", "--topic", "MissingFunding", "--topic", "Reversed")
    (made,) = bc.bank.subscriptions
    assert result.exit_code == 1
    assert f"{made} is made and tells MissingFunding, but not Reversed: POST" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create", "bcb", "--topic", "Withdrawals"), 1, "no topic 'Withdrawals'; it has: Deposits"),
        (("create", "bcb", "--topic", "Deposits", "--topic", "Deposits"), 2, "twice"),
        (("create", "bcb", "--url", "http://callbacks.example.com"), 2, "--url takes https://HOST"),
        (("create", "bcb", "--url", f"{ORIGIN}/path"), 2, "--url takes https://HOST"),
        (("create", "bcb", "--channel", "a/../b"), 1, "is no channel"),
        (("deactivate", "bcb", "none"), 1, "404"),
        (("deactivate", "bcb", "../x"), 1, "can't stand in the path"),
        (("list", "none"), 2, "no source 'none'"),
    ],
)
def test_what_is_wrong_is_said(cli: Cli, bcb: Simulator, words: tuple[str, ...], code: int, said: str) -> None:  # noqa: ARG001
    result = cli.run("subscriptions", *words)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    asked = ["subscription.deactivating"] if words[0] == "deactivate" else []
    assert [entry["what"] for entry in cli.json("audit", "list")] == asked


def test_without_an_address_a_secret_or_a_bank_that_has_any(
    cli: Cli, live: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    others.add(live, "banqup", None, token_in="header")
    assert "banqup has no subscriptions" in cli.run("subscriptions", "list", "banqup").stderr
    add_source(live, secret=None, base_url="http://127.0.0.1:9")
    assert "has no secret" in cli.run("subscriptions", "create", "bcb").stderr
    cli.done("secret", "set", "bcb", given=SECRET)
    monkeypatch.delenv("RECEIVER_PUBLIC_URL")
    assert "set RECEIVER_PUBLIC_URL" in cli.run("subscriptions", "create", "bcb").stderr
