"""Commands for a source of Banking Circle, with the simulator as its bank."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from banking_circle import add_source, control, credentials, credentials_file
from cli.commands import Cli
from click.testing import Result
from servers import RECEIVER

from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Config, Simulator
from receiver.store import destinations, sources


class WriteCredentials(Protocol):
    """Writes a credentials file with some values changed and returns its path."""

    def __call__(self, **changes: str) -> str: ...


@pytest.fixture(scope="module")
def bank() -> Iterator[Simulator]:
    with Simulator(Config(automatic=False, token_requests=0)) as running:
        yield running


@pytest.fixture
def given(bank: Simulator, tmp_path: Path) -> WriteCredentials:
    def write(**changes: str) -> str:
        path = tmp_path / "credentials.json"
        path.write_text(json.dumps(credentials_file(bank, **changes)))
        return str(path)

    return write


def add(cli: Cli, bank: Simulator, *words: str) -> Result:
    return cli.run("source", "add", "bc", "--bank", "banking_circle", "--base-url", bank.url, *words)


def stored(live: Runtime) -> dict[str, str] | None:
    with live.database.read() as connection:
        found = sources.find(connection, "bc")
        return None if found is None else sources.credentials(connection, live.encryption, found)


def doctor(cli: Cli) -> list[str]:
    result = cli.run("doctor")
    others = ("secrets", " requests: ")
    return [line for line in result.stdout.splitlines() if " bc " in line and not any(word in line for word in others)]


def test_a_source_is_added_with_its_certificate_and_its_end_is_told(
    cli: Cli, bank: Simulator, given: WriteCredentials, live: Runtime
) -> None:
    result = add(cli, bank, "--credentials", given())
    assert result.exit_code == 0, result.output
    assert "The client certificate is valid until 20" in result.stderr
    assert stored(live) == credentials(bank)


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        (None, {"passcode": "wrong"}, "the passcode does not open the PFX"),
        (None, {"certificate": "nowhere.pfx"}, "nowhere.pfx can't be read: No such file or directory"),
        ("ca", {}, "the client certificate is no PFX (P12) file but PEM"),
        ("expired_pfx", {}, "the client certificate can't be used: it expired on"),
        (None, {"passcode": ""}, "the passcode does not open the PFX"),
    ],
)
def test_a_certificate_that_can_not_be_used_adds_no_source(
    cli: Cli,
    bank: Simulator,
    given: WriteCredentials,
    live: Runtime,
    file: str | None,
    changes: dict[str, str],
    words: str,
) -> None:
    changes |= {"certificate": str(getattr(bank.certificates, file))} if file else {}
    result = add(cli, bank, "--credentials", given(**changes))
    assert result.exit_code == 1
    assert words in result.stderr
    assert "simulator-passcode" not in result.output
    assert stored(live) is None


def test_paths_are_relative_to_the_credentials_file(cli: Cli, bank: Simulator, tmp_path: Path, live: Runtime) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "client.pfx").write_bytes(bank.certificates.client_pfx.read_bytes())
    (folder / "c.json").write_text(json.dumps(credentials_file(bank, certificate="client.pfx")))
    assert add(cli, bank, "--credentials", str(folder / "c.json")).exit_code == 0
    assert stored(live) == credentials(bank)


def lacking(name: str, file: str) -> str:
    """The same credentials without one of them."""
    content = json.loads(Path(file).read_text())
    del content[name]
    Path(file).write_text(json.dumps(content))
    return file


def test_a_passcode_that_is_not_given_is_missing(cli: Cli, bank: Simulator, given: WriteCredentials) -> None:
    result = add(cli, bank, "--credentials", lacking("passcode", given()))
    assert result.exit_code == 1
    assert "--credentials lacks passcode" in result.stderr


def test_an_empty_passcode_is_one(
    cli: Cli, bank: Simulator, given: WriteCredentials, live: Runtime, tmp_path: Path
) -> None:
    source, made = bank.certificates.client_pem, tmp_path / "empty.pfx"
    command = ["openssl", "pkcs12", "-export", "-in", str(source), "-passout", "pass:", "-out", str(made)]
    subprocess.run(command, check=True, timeout=60)
    result = add(cli, bank, "--credentials", given(certificate=str(made), passcode=""))
    assert result.exit_code == 0, result.output
    found = stored(live)
    assert found is not None
    assert found["passcode"] == ""
    assert [line for line in doctor(cli) if line.startswith("fail")] == []


@pytest.mark.usefixtures("cli")
def test_at_a_terminal_what_a_file_lacks_is_asked_for(bank: Simulator, given: WriteCredentials, live: Runtime) -> None:
    ours, theirs = pty.openpty()
    words = ["source", "add", "bc", "--bank", "banking_circle", "--base-url", bank.url]
    process = subprocess.Popen(
        [*RECEIVER, *words, "--credentials", lacking("passcode", given())],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=dict(os.environ),
    )
    os.close(theirs)
    assert process.stderr is not None
    errors = b""
    # What is typed before the question is thrown away, as at any terminal.
    while b"passcode" not in errors:
        errors += os.read(process.stderr.fileno(), 1000)
    os.write(ours, b"simulator-passcode\n")
    errors += process.communicate(timeout=60)[1]
    shown = os.read(ours, 10_000)
    os.close(ours)
    assert process.returncode == 0, errors
    assert stored(live) == credentials(bank)
    assert b"simulator-passcode" not in shown + errors


def test_new_credentials_replace_the_old_ones_and_are_audited(
    cli: Cli, bank: Simulator, given: WriteCredentials, live: Runtime
) -> None:
    add_source(live, bank, credentials(bank, password="old"))
    assert "API credentials of bc are replaced" in cli.done("source", "credentials", "bc", "--credentials", given())
    assert stored(live) == credentials(bank)
    assert [(entry["what"], entry["about"]) for entry in cli.json("audit", "list")] == [
        ("source.credentials", {"source": "bc"})
    ]


def test_no_credentials_at_all_change_nothing(cli: Cli, bank: Simulator, live: Runtime) -> None:
    add_source(live, bank)
    result = cli.run("source", "credentials", "bc")
    assert result.exit_code == 1
    assert stored(live) == credentials(bank)


def test_all_is_well_where_the_bank_authorizes(cli: Cli, bank: Simulator, live: Runtime) -> None:
    add_source(live, bank)
    lines = doctor(cli)
    assert lines[0].startswith("ok    bc certificate: valid until")
    assert lines[1:] == [
        "ok    bc bank: authorized: certificate, user and password are accepted",
        "ok    bc accounts: 3 can be seen",
    ]


def test_every_run_makes_a_real_authorization_call(cli: Cli, bank: Simulator, live: Runtime) -> None:
    add_source(live, bank)
    before = len(bank.requests.entries())
    cli.run("doctor")
    cli.run("doctor")
    paths = [seen.path for seen in bank.requests.entries()[before:]]
    assert paths.count("/api/v1/authorizations/authorize") == 2


@pytest.mark.parametrize(
    ("pfx", "changes", "line"),
    [
        (None, {"certificate": ""}, "fail  bc certificate: there is no client certificate"),
        ("wrong_ca_pfx", {}, "fail  bc certificate: GET /api/v1/authorizations/authorize: the bank does not know who"),
        ("expired_pfx", {}, "fail  bc certificate: it expired on"),
        (None, {"passcode": "wrong"}, "fail  bc passcode: the passcode does not open the PFX"),
        (None, {"password": "wrong"}, "fail  bc user: the bank does not accept user name and password: GET"),
        (None, {"ca_certificate": None}, "fail  bc network: the bank can't be reached: GET"),
    ],
    ids=["none", "wrong", "expired", "passcode", "user", "another bank"],
)
def test_what_is_at_fault_is_named(
    cli: Cli, bank: Simulator, live: Runtime, pfx: str | None, changes: dict[str, str | None], line: str
) -> None:
    path: Path | None = getattr(bank.certificates, pfx) if pfx else None
    add_source(live, bank, credentials(bank, path, **changes))
    assert doctor(cli)[-1].startswith(line)
    assert cli.run("doctor").exit_code == 1


def test_an_address_that_is_not_allowed_is_named(cli: Cli, bank: Simulator, live: Runtime) -> None:
    from receiver.simulator.faults import Fault

    add_source(live, bank)
    bank.faults.add(Fault("error", status=403))
    try:
        assert doctor(cli)[-1].startswith("fail  bc address: this machine's address is not on the bank's list")
    finally:
        bank.faults.clear()


def test_a_bank_that_is_not_there_is_a_fault_of_the_network(cli: Cli, bank: Simulator, live: Runtime) -> None:
    source = add_source(live, bank)
    with live.database.write() as connection:
        destinations.move(connection, live.encryption, source, base_url="https://127.0.0.1:1")
    assert doctor(cli)[-1].startswith("fail  bc network: the bank can't be reached: GET")


def test_a_user_without_accounts_is_a_warning(cli: Cli, bank: Simulator, live: Runtime) -> None:
    add_source(live, bank)
    control(bank, "/accounts", {"count": 0}, "PUT")
    try:
        assert doctor(cli)[-1] == "warn  bc accounts: the user was granted none"
    finally:
        control(bank, "/accounts", {"count": 3}, "PUT")


def test_accounts_are_listed_as_a_table(cli: Cli, bank: Simulator, live: Runtime) -> None:
    add_source(live, bank)
    lines = cli.done("accounts", "list", "bc").splitlines()
    assert lines[0].split() == ["account", "id", "number", "name", "currency", "status", "balance"]
    assert len(lines) == 4
    assert "DK1189000000000001" in lines[1]
    assert lines[1].split()[-3:] == ["GBP", "Active", "1025"]


def test_accounts_are_listed_as_json_with_all_that_is_known(cli: Cli, bank: Simulator, live: Runtime) -> None:
    add_source(live, bank)
    first = cli.json("accounts", "list", "bc")[0]
    assert first["balances"][0]["begin_of_day"] == "1000"
    assert (first["owner"], first["opened"], first["closed"]) == ("Sørensen & Fils SA", "2020-01-01", None)


def test_a_bare_account_in_place_of_a_list_is_listed(cli: Cli, bank: Simulator, live: Runtime) -> None:
    add_source(live, bank)
    control(bank, "/options", {"accounts_shape": "bare"}, "PATCH")
    try:
        assert len(cli.json("accounts", "list", "bc")) == 1
    finally:
        control(bank, "/options", {"accounts_shape": "page"}, "PATCH")


def test_bcbs_accounts_are_listed_too(cli: Cli, live: Runtime) -> None:
    from conftest import add_source as add_bcb

    from receiver.simulator.bcb import Config as BcbConfig
    from receiver.simulator.bcb import Simulator as Bcb

    numbers = tuple(f"10464{number:05d}" for number in range(1001))
    with Bcb(BcbConfig(accounts=numbers)) as simulator:
        add_bcb(live, base_url=simulator.url)
        listed = cli.json("accounts", "list", "bcb")
    assert {account["number"] for account in listed} == set(numbers)
    assert (listed[0]["currency"], listed[0]["status"], listed[0]["balance"]) == ("USD", "ACTIVE", "0.00")


def test_a_bank_that_can_not_be_asked_fails_in_one_line(cli: Cli, bank: Simulator, live: Runtime) -> None:
    add_source(live, bank, credentials(bank, password="wrong-password"))
    result = cli.run("accounts", "list", "bc")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "401" in result.stderr
    assert "wrong-password" not in result.output
