import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from receiver.simulator.command import bank_names, find_bank
from receiver.simulator.command import simulator as command
from receiver.simulator.options import from_text
from receiver.simulator.scripts import Script
from receiver.simulator.server import BankServer

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = (ROOT / "docs" / "simulator.md").read_text()
SECTIONS = {
    "bcb": "BCB",
    "banking_circle": "Banking Circle",
    "connectpay": "ConnectPay",
    "banqup": "Banqup",
    "standard_webhooks": "Standard Webhooks",
}


def section(bank: str) -> str:
    shared, *rest = re.split(r"^## ", DOCS, flags=re.MULTILINE)
    return shared + "".join(part for part in rest if part.startswith((SECTIONS[bank], "Control endpoints")))


def test_it_finds_every_bank_by_its_package() -> None:
    assert bank_names() == ["banking_circle", "banqup", "bcb", "connectpay", "standard_webhooks"]


@pytest.mark.parametrize("bank", bank_names())
def test_every_bank_starts_without_being_told_anything(bank: str) -> None:
    found = find_bank(bank)
    with found.Simulator(found.Config(), "127.0.0.1", 0, log_requests=False) as simulator:
        assert isinstance(simulator, BankServer)
        assert simulator.announcement.startswith(f"{simulator.title} simulator listens on {simulator.url}")


@pytest.mark.parametrize("bank", bank_names())
def test_every_option_of_a_bank_is_documented(bank: str) -> None:
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", section(bank), re.M) for name in re.findall(r"`(\w+)`", row)
    }

    assert set(find_bank(bank).Config.model_fields) <= documented


@pytest.mark.parametrize("bank", bank_names())
def test_every_control_endpoint_of_a_bank_is_documented(bank: str) -> None:
    found = find_bank(bank)
    with found.Simulator(found.Config(), "127.0.0.1", 0, log_requests=False) as simulator:
        rules = [rule for rule in simulator.app.url_map.iter_rules() if rule.rule.startswith("/_simulator")]
    routes = {f"{method} {rule.rule}" for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}

    documented = set(re.findall(r"`([A-Z]+ /_simulator[^`]*)`", section(bank)))
    plain = {re.sub("<.*?>", "<>", route) for route in documented}
    assert {re.sub("<.*?>", "<>", route) for route in routes} <= plain


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bank", "nobody"), "nobody"),
        (("--bank", "connectpay", "--option", "speed"), "KEY=VALUE"),
        (("--bank", "connectpay", "--option", "sped=1"), "sped"),
        (("--bank", "connectpay", "--option", "speed=fast"), "speed"),
        (("--bank", "banking_circle", "--option", "encryption_key=short"), "32 bytes"),
        (("--bank", "connectpay", "--client-id", "x"), "--client-id is for BCB"),
        (("--option", "sped=2"), "sped"),
        (("--option", "rate_limit=many"), "rate_limit must be JSON"),
        (("--option", "secret_encoding=base65"), "secret_encoding"),
        (("--bank", "banking_circle", "--option", "certificate_days=3000000"), "certificate_days"),
        (("--callback-url", "http://a/", "--option", "callback_url=http://b/"), "--callback-url and --option"),
        (("--token-lifetime", "5", "--option", "token_lifetime_seconds=6"), "--token-lifetime and --option"),
        (
            ("--bank", "banqup", "--callback-url", "http://a/", "--option", "callback_url=http://b/"),
            "--callback-url and --option",
        ),
    ],
)
def test_the_command_says_what_it_does_not_take(words: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(command, [*words, "--port", "0"])

    assert (result.exit_code, said in result.output) == (2, True), result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bank", "banqup", "--option", "folder={file}"), "File exists"),
        (("--bank", "banking_circle", "--option", "folder={file}/x"), "Not a directory"),
        (("--bank", "banking_circle", "--host", "a..b"), "Empty Label"),
    ],
)
def test_what_keeps_a_bank_from_starting_is_said_in_one_line(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = [word.format(file=tmp_path / "file") for word in words]
    result = CliRunner().invoke(command, [*given, "--port", "0"])

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "the simulator can't start" in result.stderr
    assert said in result.stderr


def test_the_docs_name_no_control_endpoint_that_does_not_exist() -> None:
    found = [find_bank(bank) for bank in bank_names()]
    routes = set()
    for package in found:
        with package.Simulator(package.Config()) as simulator:
            rules = [rule for rule in simulator.app.url_map.iter_rules() if rule.rule.startswith("/_simulator")]
        routes |= {(method, re.sub("<.*?>", "<>", rule.rule)) for rule in rules for method in rule.methods or set()}

    documented = set(re.findall(r"`([A-Z]+) (/_simulator[^`]*)`", DOCS))
    assert {(method, re.sub("<.*?>", "<>", path)) for method, path in documented} <= routes


def test_a_secret_in_the_environment_is_bcb_s_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATOR_SIGNING_SECRET", "not base64")

    # What the environment says is replaced by an option, in whichever spelling.
    for words in (("--signing-secret", "a"), ("--option", "signing_secret=a")):
        assert "not base64" not in CliRunner().invoke(command, [*words, "--option", "sped=1"]).output
    assert "signing secret" in CliRunner().invoke(command, ["--port", "0"]).output
    # It goes on to read its own options.
    assert "sped" in CliRunner().invoke(command, ["--bank", "connectpay", "--option", "sped=1"]).output


@pytest.mark.parametrize(
    ("bank", "pairs", "expected"),
    [
        ("bcb", {"accounts": '["1", "2"]', "permissions": '["get-account"]'}, {"accounts": ("1", "2")}),
        ("bcb", {"allowed_ips": "10.0.0.0/8", "rate_limit": "0"}, {"allowed_ips": "10.0.0.0/8", "rate_limit": 0}),
        ("connectpay", {"client_key": "12", "retry_delays": "[1, 2.5]"}, {"retry_delays": (1.0, 2.5)}),
        ("connectpay", {"payment_script": '[["ACSC"]]'}, {"payment_script": Script.of(("ACSC", 0))}),
        ("banqup", {"header_token": "true", "automatic": "false"}, {"header_token": "true", "automatic": False}),
    ],
)
def test_options_are_read_from_text(bank: str, pairs: dict[str, str], expected: dict[str, object]) -> None:
    config = from_text(find_bank(bank).Config, pairs)

    assert {name: getattr(config, name) for name in expected} == expected
