"""`receiver consumers`."""

import pytest
from bank import BankSigner, deposit
from cli.commands import Cli, Send
from flask.testing import FlaskClient

FEED = "/api/v1/consumers/ledger/feed"


def headers(cli: Cli, name: str) -> dict[str, str]:
    """What shows a new token of this name."""
    return {"Authorization": f"Bearer {cli.done('token', 'create', name).strip()}"}


@pytest.fixture
def owner(cli: Cli, web: FlaskClient, send: Send, signer: BankSigner) -> dict[str, str]:
    """The token `app`, which has made the consumer `ledger` and has two entries to read."""
    for number in range(2):
        send(signer.sign(deposit(transactionId=f"FT{number}")))
    shown = headers(cli, "app")
    assert web.get(FEED, headers=shown).status_code == 200
    return shown


@pytest.mark.usefixtures("owner")
def test_a_consumer_is_listed_with_its_owner_and_lag(cli: Cli) -> None:
    (found,) = cli.json("consumers", "list")
    assert (found["consumer"], found["token"], found["position"], found["lag_entries"]) == ("ledger", "app", 0, 2)
    assert found["lag_seconds"] >= 0
    assert cli.json("consumers", "show", "ledger")["shared_with"] == []
    assert "ledger" in cli.done("consumers", "list")
    assert cli.done("consumers", "list", "--csv").splitlines()[1].startswith("ledger,")


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize(
    ("to", "position"), [("end", 2), ("beginning", 0), ("2999-01-01T00:00:00Z", 2), ("2999-01-01t00:00:00z", 2)]
)
def test_a_consumer_is_moved(cli: Cli, to: str, position: int) -> None:
    assert cli.json("consumers", "seek", "ledger", "--to", to)["position"] == position
    entry = cli.json("audit", "list")[0]
    assert (entry["what"], entry["about"]["to"]) == ("consumer.moved", position)


def test_a_cursor_of_its_own_is_a_place(cli: Cli, web: FlaskClient, owner: dict[str, str]) -> None:
    cursor = web.get(f"{FEED}?limit=1", headers=owner).get_json()["next"]
    assert cli.json("consumers", "seek", "ledger", "--to", cursor)["position"] == 1
    assert cli.run("consumers", "seek", "ledger", "--to", "nowhere").exit_code == 1
    assert cli.run("consumers", "seek", "ledger", "--to", "2026-01-01").exit_code == 2


def test_it_is_shared_and_given_away(cli: Cli, web: FlaskClient, owner: dict[str, str]) -> None:
    other = headers(cli, "other")
    assert web.get(FEED, headers=other).status_code == 403
    cli.done("consumers", "share", "ledger", "--token", "other")
    assert [web.get(FEED, headers=shown).status_code for shown in (owner, other)] == [200, 200]
    cli.done("consumers", "set", "ledger", "--token", "other")
    assert [web.get(FEED, headers=shown).status_code for shown in (owner, other)] == [403, 200]


@pytest.mark.usefixtures("owner")
def test_the_consumer_of_a_revoked_token_is_claimed_by_nobody_and_given_away(cli: Cli, web: FlaskClient) -> None:
    cli.done("token", "revoke", "app")
    other = headers(cli, "other")
    assert web.get(FEED, headers=other).status_code == 403
    cli.done("consumers", "share", "ledger", "--token", "other")
    assert cli.json("consumers", "show", "ledger")["token"] == "other"
    assert web.get(FEED, headers=other).status_code == 200


@pytest.mark.usefixtures("owner")
def test_a_removed_name_is_free(cli: Cli, web: FlaskClient) -> None:
    cli.done("consumers", "remove", "ledger")
    assert cli.json("consumers", "list") == []
    assert web.get(FEED, headers=headers(cli, "other")).status_code == 200


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("show", "lodger"), "ledger"),
        (("seek", "lodger", "--to", "end"), "ledger"),
        (("share", "lodger", "--token", "app"), "ledger"),
        (("remove", "lodger"), "ledger"),
        (("share", "ledger", "--token", "none"), "app"),
        (("set", "ledger", "--token", "none"), "app"),
    ],
)
def test_what_there_is_not_is_wrong_use(cli: Cli, words: tuple[str, ...], nearest: str) -> None:
    result = cli.run("consumers", *words)
    assert result.exit_code == 2
    assert f"the nearest is '{nearest}'" in result.stderr


@pytest.mark.usefixtures("owner")
def test_an_ended_token_is_given_nothing(cli: Cli) -> None:
    headers(cli, "other")
    cli.done("token", "revoke", "other")
    assert cli.run("consumers", "share", "ledger", "--token", "other").exit_code == 1
