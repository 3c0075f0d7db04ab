import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from receiver.simulator import banks
from receiver.simulator.command import simulator as command
from receiver.simulator.server import BankServer

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = (ROOT / "docs" / "simulator.md").read_text()
OTHERS = [name for name in banks.names() if name != "bcb"]
SECTIONS = {
    "banking_circle": "Banking Circle",
    "connectpay": "ConnectPay",
    "banqup": "Banqup",
    "standard_webhooks": "Standard Webhooks",
}


def section(bank):
    shared, *rest = re.split(r"^## ", DOCS, flags=re.MULTILINE)
    return shared + "".join(part for part in rest if part.startswith((SECTIONS[bank], "Control endpoints")))


def test_it_finds_every_bank_by_its_package():
    assert banks.names() == ["banking_circle", "banqup", "bcb", "connectpay", "standard_webhooks"]


@pytest.mark.parametrize("bank", banks.names())
def test_every_bank_starts_without_being_told_anything(bank):
    found = banks.find(bank)
    with found.Simulator(found.Config(), "127.0.0.1", 0, log_requests=False) as simulator:
        assert isinstance(simulator, BankServer)
        assert simulator.announcement.startswith(f"{simulator.title} simulator listens on {simulator.url}")


@pytest.mark.parametrize("bank", OTHERS)
def test_every_option_of_a_bank_is_documented(bank):
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", section(bank), re.M) for name in re.findall(r"`(\w+)`", row)
    }

    assert {field.name for field in fields(banks.find(bank).Config)} <= documented


@pytest.mark.parametrize("bank", OTHERS)
def test_every_control_endpoint_of_a_bank_is_documented(bank):
    found = banks.find(bank)
    with found.Simulator(found.Config(), "127.0.0.1", 0, log_requests=False) as simulator:
        rules = [rule for rule in simulator.app.url_map.iter_rules() if rule.rule.startswith("/_simulator")]
    routes = {f"{method} {rule.rule}" for rule in rules for method in rule.methods - {"HEAD", "OPTIONS"}}

    documented = set(re.findall(r"`([A-Z]+ /_simulator[^`]*)`", section(bank)))
    assert {re.sub("<.*?>", "<>", route) for route in routes} <= {re.sub("<.*?>", "<>", route) for route in documented}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bank", "nobody"), "nobody"),
        (("--bank", "connectpay", "--option", "speed"), "KEY=VALUE"),
        (("--bank", "connectpay", "--option", "sped=1"), "sped"),
        (("--bank", "connectpay", "--option", "speed=fast"), "speed"),
        (("--bank", "banking_circle", "--option", "encryption_key=short"), "32 bytes"),
        (("--bank", "connectpay", "--client-id", "x"), "--client-id is for BCB"),
        (("--option", "speed=2"), "--option is for the other banks"),
    ],
)
def test_the_command_says_what_it_does_not_take(words, said):
    result = CliRunner().invoke(command, [*words, "--port", "0"])

    assert (result.exit_code, said in result.output) == (2, True), result.output
