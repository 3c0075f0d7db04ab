"""`receiver credentials`, and `receiver source credentials`."""

import json
import re
import shlex
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from bank import SECRET
from cli.commands import Cli
from conftest import add_source
from sqlalchemy import update

from receiver import banks
from receiver.credentials.outcomes import ChangeUnfinished
from receiver.credentials.rotation import ChangeRequest, CredentialChanges
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.faults import Fault
from receiver.store import credential_changes, sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import Source, table_of

MANAGES_NOTHING = frozenset({"get-payment-status", "get-transactions", "get-all-accounts"})


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Config(rate_limit=0)) as running:
        yield running


@pytest.fixture
def known(live: Runtime, simulator: Simulator) -> SourceRecord:
    """The source `bcb`, whose bank is a simulator."""
    return add_source(live, base_url=simulator.url)


@pytest.fixture
def unfinished(live: Runtime, known: SourceRecord, simulator: Simulator) -> None:
    """A rotation whose answer was lost."""
    simulator.faults.add(Fault("truncated", path="/v1/credentials*"))
    with pytest.raises(ChangeUnfinished):
        CredentialChanges(live).make(known, ChangeRequest("rotate", "cli:test"), pauses=())


def finish(live: Runtime, known: SourceRecord) -> None:
    """Finish what is unfinished, as a worker does."""
    with live.database.read() as connection:
        change = credential_changes.pending(connection, known.id)
    assert change is not None
    CredentialChanges(live).resume(known, change)


def stored(live: Runtime, known: SourceRecord) -> dict[str, str] | None:
    with live.database.read() as connection:
        return sources.credentials(connection, live.encryption, known)


@pytest.mark.usefixtures("known")
def test_a_rotation_shows_no_secret_and_says_what_is_valid_now(cli: Cli, simulator: Simulator) -> None:
    result = cli.run("credentials", "rotate", "bcb")
    assert result.stdout == (
        "The credentials of bcb are rotated: secret 2 is the current one; the ones before it stay valid for 3600 s.\n"
    )
    client = simulator.bank.client
    assert client.client_secret not in result.output
    assert client.signing_secret not in result.output
    assert [row["state"] for row in cli.json("secret", "list", "bcb")] == ["current", "valid"]


@pytest.mark.parametrize("command", ["rotate", "create"])
@pytest.mark.usefixtures("known")
def test_with_show_the_new_secrets_stand_on_standard_output_and_that_is_in_the_audit_log(
    cli: Cli, simulator: Simulator, command: str
) -> None:
    result = cli.run("credentials", command, "bcb", "--show")
    client = list(simulator.bank.clients.values())[-1]
    assert dict(line.split("  ") for line in result.stdout.splitlines()) == {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "signing_secret": client.signing_secret,
    }
    assert [entry["what"] for entry in cli.json("audit", "list")] == [
        "secret.shown",
        f"credentials.{command}.done",
        f"credentials.{command}.begun",
    ]


@pytest.mark.usefixtures("known")
def test_each_rotation_that_was_told_is_followed_by_another(cli: Cli, simulator: Simulator) -> None:
    cli.done("credentials", "rotate", "bcb")
    cli.done("credentials", "rotate", "bcb")
    assert simulator.bank.credentials.done["rotated"] == 2


@pytest.mark.parametrize("is_done", [True, False], ids=["by a worker", "now"])
@pytest.mark.usefixtures("unfinished")
def test_what_was_begun_before_is_told_as_that_and_the_next_command_rotates(
    cli: Cli, live: Runtime, known: SourceRecord, simulator: Simulator, is_done: bool
) -> None:
    if is_done:
        finish(live, known)
    first = cli.done("credentials", "rotate", "bcb")
    assert re.fullmatch(
        r"The credentials of bcb are rotated by an earlier change, begun at \S+ \S+ UTC, done at \S+ \S+ UTC: "
        r"secret 2 came with it\.\nNothing was begun now: to rotate once more, run this once more\.\n",
        first,
    )
    assert simulator.bank.credentials.done["rotated"] == 1
    assert "secret 3 is the current one" in cli.done("credentials", "rotate", "bcb")
    assert simulator.bank.credentials.done["rotated"] == 2


def test_a_new_client_of_an_earlier_change_is_told_without_what_may_be_so_no_longer(
    cli: Cli, live: Runtime, known: SourceRecord, simulator: Simulator
) -> None:
    CredentialChanges(live).make(known, ChangeRequest("create", "cli:test"))
    made = list(simulator.bank.clients.values())[-1].client_id
    assert re.fullmatch(
        rf"bcb uses the new client {made} by an earlier change, begun at \S+ \S+ UTC, done at \S+ \S+ UTC: secret 2 "
        r"came with it\.\nNothing was begun now: to create once more, run this once more\.\n",
        cli.done("credentials", "create", "bcb"),
    )
    assert ", which has worked, and the one before is still alive: secret 3" in cli.done("credentials", "create", "bcb")


@pytest.mark.usefixtures("known")
def test_a_bank_that_gives_no_answer_leaves_the_rotation_unfinished_and_says_who_goes_on(
    cli: Cli, simulator: Simulator
) -> None:
    simulator.faults.add(Fault("500", path="/v1/credentials*", count=None))
    result = cli.run("credentials", "rotate", "bcb")
    assert result.exit_code == 1
    assert "is unfinished after 3 attempts: PATCH /v1/credentials/simulator-client: 500" in result.stderr
    assert "so does `receiver credentials rotate bcb`" in result.stderr


@pytest.mark.usefixtures("unfinished")
def test_the_list_of_secrets_shows_an_unfinished_rotation_for_what_it_is(cli: Cli) -> None:
    result = cli.run("secret", "list", "bcb")
    assert "rotate unfinished" in result.stdout
    assert "the change (rotate) begun at" in result.stderr
    assert [(row["version"], row["state"]) for row in cli.json("secret", "list", "bcb")] == [
        (None, "rotate unfinished"),
        (1, "current"),
    ]


@pytest.mark.usefixtures("unfinished")
def test_the_doctor_finishes_it_and_says_so(cli: Cli, simulator: Simulator) -> None:
    found = cli.done("doctor")
    assert (
        "ok    bcb credentials: an unfinished change (rotate) is finished now; `receiver credentials rotate bcb`"
        in found
    )
    assert simulator.bank.credentials.done["rotated"] == 1
    assert "Nothing was begun now" in cli.done("credentials", "rotate", "bcb")
    assert "Nothing was begun now" not in cli.done("credentials", "rotate", "bcb")
    assert simulator.bank.credentials.done["rotated"] == 2


@pytest.mark.usefixtures("unfinished")
def test_the_doctor_finishes_it_for_a_disabled_source_too(cli: Cli, simulator: Simulator) -> None:
    cli.done("source", "disable", "bcb")
    found = cli.done("doctor")
    assert "ok    bcb credentials: an unfinished change (rotate) is finished now" in found
    assert "warn  bcb: disabled" in found
    assert simulator.bank.credentials.done["rotated"] == 1


@pytest.mark.parametrize(("kind", "options"), [("create", []), ("issue", ["--keep-old", "--allowed-ips", "*"])])
def test_a_client_that_the_doctor_has_made_is_left_to_be_told(
    cli: Cli, live: Runtime, known: SourceRecord, simulator: Simulator, kind: str, options: list[str]
) -> None:
    simulator.faults.add(Fault("truncated", path="/v1/credentials*"))
    ips = "*" if options else None
    with pytest.raises(ChangeUnfinished):
        CredentialChanges(live).make(known, ChangeRequest(kind, "cli:test", allowed_ips=ips), pauses=())
    command = shlex.join(["receiver", "credentials", "create", "bcb", *options])
    assert f"is finished now; `{command}` tells what came of it" in cli.done("doctor")
    made = list(simulator.bank.clients.values())[-1]
    assert made.client_id in cli.done("credentials", "create", "bcb", *options)
    assert simulator.bank.credentials.done["created"] == 1


@pytest.mark.usefixtures("unfinished")
def test_the_doctor_that_can_not_finish_it_fails(cli: Cli, simulator: Simulator) -> None:
    simulator.bank.credentials.old_tokens = "revoked"
    result = cli.run("doctor")
    assert result.exit_code == 1
    assert "fail  bcb credentials: the change (rotate)" in result.stdout


@pytest.mark.usefixtures("unfinished")
def test_disabling_the_source_says_that_an_unfinished_rotation_goes_on(cli: Cli) -> None:
    result = cli.run("source", "disable", "bcb")
    assert result.stdout == "Source bcb is disabled.\n"
    assert result.stderr == (
        "Its bank is asked on about an unfinished change (rotate) of its credentials, so that no secret is lost; "
        "`receiver credentials rotate bcb --abandon` gives it up.\n"
    )


@pytest.mark.usefixtures("unfinished")
def test_an_unfinished_rotation_can_be_given_up(cli: Cli) -> None:
    both = cli.run("credentials", "rotate", "bcb", "--abandon", "--show")
    assert (both.exit_code, "--abandon stands alone" in both.stderr) == (2, True)
    given_up = cli.done("credentials", "rotate", "bcb", "--abandon")
    assert given_up == "The unfinished change (rotate) of the credentials of bcb is given up.\n"
    result = cli.run("credentials", "rotate", "bcb", "--abandon")
    assert (result.exit_code, result.stderr) == (1, "Error: no change of the credentials of bcb is unfinished\n")


@pytest.mark.usefixtures("known")
def test_a_missing_permission_fails_with_what_to_ask_the_bank_for(cli: Cli, simulator: Simulator) -> None:
    simulator.bank.replace_client(simulator.bank.client.with_permissions(MANAGES_NOTHING))
    for command in ("rotate", "create", "permissions"):
        result = cli.run("credentials", command, "bcb")
        assert result.exit_code == 1
        assert "Ask the bank to grant `manage-credentials` to the client" in result.stderr


@pytest.mark.usefixtures("known")
def test_new_credentials_get_the_allowed_addresses(cli: Cli, simulator: Simulator) -> None:
    cli.done("credentials", "create", "bcb", "--allowed-ips", "127.0.0.1, 198.51.100.0/24,2001:db8::/32")
    made = list(simulator.bank.clients.values())[-1]
    assert made.allowed_ips == "127.0.0.1,198.51.100.0/24,2001:db8::/32"


def test_a_new_client_that_does_not_work_from_here_is_not_used_and_can_be_given_up(
    cli: Cli, live: Runtime, known: SourceRecord, simulator: Simulator
) -> None:
    before = stored(live, known)
    result = cli.run("credentials", "create", "bcb", "--allowed-ips", "203.0.113.7")
    made = list(simulator.bank.clients.values())[-1]
    assert result.exit_code == 1
    assert f"the new client {made.client_id} was made, and does not work from here" in result.stderr
    assert stored(live, known) == before
    undone = cli.done("credentials", "create", "bcb", "--undo")
    assert f"`receiver credentials disable bcb --client-id {made.client_id}` ends it" in undone
    result = cli.run("credentials", "create", "bcb", "--undo")
    assert (result.exit_code, result.stdout) == (1, "")


def test_one_for_another_app_is_written_out_and_the_source_keeps_its_own(
    cli: Cli, live: Runtime, known: SourceRecord, simulator: Simulator
) -> None:
    before = stored(live, known)
    result = cli.run("credentials", "create", "bcb", "--keep-old")
    made = list(simulator.bank.clients.values())[-1]
    assert (result.exit_code, dict(line.split("  ") for line in result.stdout.splitlines())) == (
        0,
        {"client_id": made.client_id, "client_secret": made.client_secret, "signing_secret": made.signing_secret},
    )
    assert stored(live, known) == before
    assert [entry["what"] for entry in cli.json("audit", "list")] == [
        "secret.shown",
        "credentials.issue.done",
        "credentials.issue.begun",
    ]


@pytest.mark.parametrize("beside", [["--keep-old"], ["--show"], ["--allowed-ips", "*"]])
@pytest.mark.usefixtures("known")
def test_undo_stands_alone(cli: Cli, simulator: Simulator, beside: list[str]) -> None:
    assert cli.run("credentials", "create", "bcb", "--undo", *beside).exit_code == 2
    assert simulator.requests.entries() == []


@pytest.mark.parametrize(
    "given", ["", "203.0.113", "203.0.113.7;203.0.113.8", "198.51.100.7/24", "*,203.0.113.7", "all"]
)
@pytest.mark.usefixtures("known")
def test_a_wrong_list_of_addresses_is_wrong_use_and_reaches_no_bank(cli: Cli, simulator: Simulator, given: str) -> None:
    result = cli.run("credentials", "create", "bcb", "--allowed-ips", given)
    assert result.exit_code == 2
    assert "--allowed-ips" in result.stderr
    assert simulator.requests.entries() == []


def test_disabling_ends_the_sources_credentials(
    cli: Cli, live: Runtime, known: SourceRecord, simulator: Simulator
) -> None:
    result = cli.run("credentials", "disable", "bcb")
    assert (result.exit_code, result.stdout) == (0, "The client simulator-client is disabled at the bank.\n")
    assert result.stderr == "Disabling simulator-client, which bcb uses itself, for good.\n"
    assert not simulator.bank.client.is_active
    assert stored(live, known) is None


@pytest.mark.parametrize("options", [[], ["--client-id", "simulator-client"]], ids=["own", "named"])
@pytest.mark.parametrize("is_done", [True, False], ids=["done", "unfinished"])
def test_a_disabling_of_an_earlier_command_is_told_as_that_without_asking(
    cli: Cli,
    live: Runtime,
    known: SourceRecord,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    is_done: bool,
) -> None:
    simulator.faults.add(Fault("truncated", path="/v1/credentials*"))
    with pytest.raises(ChangeUnfinished):
        CredentialChanges(live).make(known, ChangeRequest("disable", "cli:test"), pauses=())
    if is_done:
        finish(live, known)
    monkeypatch.setattr("receiver.cli.credentials.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    result = cli.run("credentials", "disable", "bcb", *options, given="n\n")
    if not is_done:
        assert (result.exit_code, "Disable simulator-client" in result.stderr) == (1, True)
        return
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(
        r"The client simulator-client is disabled at the bank by an earlier change, begun at \S+ \S+ UTC, done at "
        r"\S+ \S+ UTC\.\n",
        result.stdout,
    )


@pytest.mark.usefixtures("known")
def test_disabling_the_client_before_a_new_one_names_its_secret_that_has_no_end(cli: Cli) -> None:
    cli.done("credentials", "create", "bcb")
    result = cli.run("credentials", "disable", "bcb", "--client-id", "simulator-client")
    assert result.stdout == "The client simulator-client is disabled at the bank.\n"
    assert result.stderr == (
        "Secret 1 of bcb has no end, and is that client's, or may be: `receiver secret expire bcb 1` ends it.\n"
    )


@pytest.mark.usefixtures("known")
def test_at_a_terminal_disabling_is_asked_about(
    cli: Cli, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receiver.cli.credentials.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    refused = cli.run("credentials", "disable", "bcb", given="n\n")
    assert (refused.exit_code, "Disable simulator-client, which bcb uses itself, for good?" in refused.stderr) == (
        1,
        True,
    )
    assert simulator.bank.client.is_active
    cli.done("credentials", "disable", "bcb", "--yes")
    assert not simulator.bank.client.is_active


@pytest.mark.usefixtures("known")
def test_the_permissions_are_listed_beside_what_each_is_needed_for(cli: Cli) -> None:
    rows = {row["key"]: row for row in cli.json("credentials", "permissions", "bcb")}
    assert rows["get-payment-status"]["needed_for"] == "payments are checked with it"
    assert all(row["held"] for row in rows.values())


@pytest.mark.usefixtures("known")
def test_permissions_that_are_needed_and_not_held_fail(cli: Cli, simulator: Simulator) -> None:
    simulator.bank.replace_client(simulator.bank.client.with_permissions(frozenset({"manage-credentials"})))
    result = cli.run("credentials", "permissions", "bcb", "--json")
    assert result.exit_code == 1
    assert "missing: get-payment-status, get-transactions, get-all-accounts; ask the bank" in result.stderr
    assert [row["held"] for row in json.loads(result.stdout)] == [True, False, False, False]
    assert "fail  bcb permissions: missing: get-payment-status" in cli.run("doctor").stdout


@pytest.mark.usefixtures("known")
def test_permissions_that_can_not_be_looked_up_are_a_warning_of_the_doctor(cli: Cli, simulator: Simulator) -> None:
    simulator.bank.replace_client(simulator.bank.client.with_permissions(MANAGES_NOTHING))
    result = cli.run("doctor")
    assert result.exit_code == 0
    assert "warn  bcb permissions: can't be looked up" in result.stdout


@pytest.mark.parametrize("command", ["create", "rotate", "disable", "permissions"])
def test_a_source_that_does_not_exist_or_has_no_credentials_fails(cli: Cli, live: Runtime, command: str) -> None:
    nobody = cli.run("credentials", command, "bcb")
    assert (nobody.exit_code, "there is no source 'bcb'; there is none yet" in nobody.stderr) == (2, True)
    add_source(live)
    assert cli.run("credentials", command, "bcb").stderr == "Error: source bcb has no API credentials\n"


def test_credentials_are_replaced_from_standard_input(cli: Cli, live: Runtime, known: SourceRecord) -> None:
    given = {"clientId": "simulator-client", "clientSecret": "a-newer-one"}
    result = cli.run("source", "credentials", "bcb", given=json.dumps(given))
    assert result.exit_code == 0
    assert "a-newer-one" not in result.output
    assert stored(live, known) == {"client_id": "simulator-client", "client_secret": "a-newer-one"}
    assert cli.json("audit", "list")[0]["what"] == "source.credentials"


@pytest.mark.usefixtures("unfinished")
def test_credentials_that_are_replaced_by_hand_end_an_unfinished_rotation(
    cli: Cli, live: Runtime, known: SourceRecord, simulator: Simulator
) -> None:
    client = simulator.bank.client
    given = json.dumps({"clientId": client.client_id, "clientSecret": client.client_secret})
    assert "is given up" in cli.run("source", "credentials", "bcb", given=given).stderr
    cli.done("secret", "set", "bcb", given=client.signing_secret)
    assert "fail" not in cli.done("doctor")
    found = stored(live, known)
    assert found is not None
    assert found["client_secret"] == client.client_secret


@pytest.mark.parametrize("given", ["", "{}", "[]", '{"clientId":"x"}', "no JSON"])
def test_what_holds_no_credentials_replaces_none(cli: Cli, live: Runtime, known: SourceRecord, given: str) -> None:
    before = stored(live, known)
    result = cli.run("source", "credentials", "bcb", given=given)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert stored(live, known) == before


@pytest.mark.parametrize("named", [(), ("--client-id", "X")])
def test_no_client_is_disabled_at_a_bank_without_such_an_api(cli: Cli, named: tuple[str, ...]) -> None:
    base = ("--base-url", "http://127.0.0.1:9", "--credentials", "-")
    credentials = json.dumps({"client_key": "k", "client_secret": "s"})
    cli.done("source", "add", "cp", "--bank", "connectpay", *base, given=credentials)
    result = cli.run("credentials", "disable", "cp", *named, "--yes")
    assert (result.exit_code, result.stderr) == (1, "Error: connectpay has no API for credentials\n")


@pytest.mark.usefixtures("known")
def test_a_bank_without_such_an_api_is_said(cli: Cli, live: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:

    class Other:
        name = "other"

    monkeypatch.setattr(banks, "named", lambda _: Other())
    with live.database.write() as connection:
        connection.execute(update(table_of(Source)).values(bank="other"))
    result = cli.run("credentials", "permissions", "bcb")
    assert (result.exit_code, result.stderr) == (1, "Error: other has no API for credentials\n")


@pytest.mark.usefixtures("known")
def test_secrets_in_the_environment_are_said_to_be_outdated(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCB_CLIENT_ID", "simulator-client")
    monkeypatch.setenv("BCB_CLIENT_SECRET", "simulator-secret")
    monkeypatch.setenv("BCB_MESSAGE_SIGNING_SECRET", SECRET)
    assert "take the secrets out of them" in cli.run("credentials", "rotate", "bcb").stderr
