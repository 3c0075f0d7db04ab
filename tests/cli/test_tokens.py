"""`receiver token`."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from cli.commands import Cli
from flask.testing import FlaskClient

from receiver.runtime import Runtime
from receiver.store import api_tokens

READ = ("events:read", "feed:read", "payments:read")


def test_the_token_stands_alone_on_standard_output(cli: Cli) -> None:
    result = cli.run("token", "create", "app")
    assert result.exit_code == 0
    assert re.fullmatch(r"rcv_[A-Za-z0-9_-]{43}\n", result.stdout)
    assert result.stderr == ""


def test_it_opens_the_api_with_the_scopes_for_reading(cli: Cli, web: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {cli.done('token', 'create', 'app').strip()}"}
    assert web.get("/api/v1/events", headers=headers).status_code == 200
    assert web.get("/api/v1/feed", headers=headers).status_code == 200
    assert web.get("/api/v1/payments", headers=headers).status_code == 200
    assert web.get("/api/v1/events/evt_1/raw", headers=headers).status_code == 403


@pytest.mark.usefixtures("known")
def test_json_tells_what_was_granted(cli: Cli) -> None:
    made = cli.json("token", "create", "app", "--scope", "events:read", "--source", "bcb", "--expires", "90d")
    assert made["token"].startswith("rcv_")
    assert (made["name"], made["scopes"], made["sources"]) == ("app", ["events:read"], ["bcb"])
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23) < left <= timedelta(days=90)


def test_without_limits_it_is_for_reading_everywhere_and_for_ever(cli: Cli) -> None:
    made = cli.json("token", "create", "app")
    assert (tuple(made["scopes"]), made["sources"], made["expires_at"]) == (READ, [], None)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a" * 65, "-a", ".a", "ä", "a/b"], ids=ascii)
def test_a_name_that_is_none_is_wrong_use(cli: Cli, name: str) -> None:
    result = cli.run("token", "create", "--", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "1 to 64 of A-Z, a-z, 0-9" in result.stderr
    assert cli.json("token", "list") == []


def test_an_odd_name_of_an_earlier_release_can_be_revoked_and_replaced(cli: Cli, live: Runtime) -> None:
    with live.database.write() as connection:
        api_tokens.create(connection, name="a b", scopes=READ, sources=(), now=live.clock(), expires_at=None)
    assert cli.done("token", "create", "ab", "--replaces", "a b").startswith("rcv_")
    cli.done("token", "revoke", "a b")
    assert {row["name"]: row["state"] for row in cli.json("token", "list")} == {"a b": "revoked", "ab": "valid"}


def test_the_list_never_shows_a_token(cli: Cli) -> None:
    made = cli.done("token", "create", "app").strip()
    assert made not in cli.done("token", "list")
    assert made not in cli.done("token", "list", "--json")


def test_the_list_tells_valid_expired_and_revoked(cli: Cli, live: Runtime) -> None:
    cli.done("token", "create", "valid")
    cli.done("token", "create", "revoked")
    cli.done("token", "revoke", "revoked")
    now = datetime.now(UTC)
    with live.database.write() as connection:
        api_tokens.create(connection, name="expired", scopes=READ, sources=(), now=now, expires_at=now)
    states = {found["name"]: found["state"] for found in cli.json("token", "list")}
    assert states == {"expired": "expired", "revoked": "revoked", "valid": "valid"}


def test_a_revoked_token_opens_nothing(cli: Cli, web: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {cli.done('token', 'create', 'app').strip()}"}
    cli.done("token", "revoke", "app")
    assert web.get("/api/v1/events", headers=headers).status_code == 401


def test_revoking_twice_fails_the_second_time(cli: Cli) -> None:
    cli.done("token", "create", "app")
    cli.done("token", "revoke", "app")
    result = cli.run("token", "revoke", "app")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no valid token 'app'\n")


def test_a_token_that_there_is_not_is_wrong_use_and_the_nearest_is_named(cli: Cli, web: FlaskClient) -> None:
    shown = {"Authorization": f"Bearer {cli.done('token', 'create', 'app').strip()}"}
    assert web.get("/api/v1/consumers/ledger/feed", headers=shown).status_code == 200
    for words in (
        ("token", "revoke", "ap"),
        ("token", "create", "new", "--replaces", "ap"),
        ("consumers", "share", "ledger", "--token", "ap"),
        ("consumers", "set", "ledger", "--token", "ap"),
    ):
        result = cli.run(*words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "there is no token 'ap'; the nearest is 'app'" in result.stderr
    assert [row["name"] for row in cli.json("token", "list")] == ["app"]


def test_a_name_is_taken_once(cli: Cli) -> None:
    cli.done("token", "create", "app")
    result = cli.run("token", "create", "app")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: there is a token 'app' already\n")


def test_a_source_that_does_not_exist_makes_no_token(cli: Cli) -> None:
    result = cli.run("token", "create", "app", "--source", "bcb")
    assert (result.exit_code, result.stdout) == (2, "")
    assert cli.json("token", "list") == []


@pytest.mark.parametrize("value", ["90", "d", "0d", "-1d", "90 d", "1y", "9" * 6 + "d", "1.5h", "٣d"])
def test_a_time_that_is_none_is_wrong_use(cli: Cli, value: str) -> None:
    result = cli.run("token", "create", "app", "--expires", value)
    assert result.exit_code == 2
    assert "such as 90d" in result.stderr


def test_a_scope_that_is_none_is_wrong_use(cli: Cli) -> None:
    assert cli.run("token", "create", "app", "--scope", "everything").exit_code == 2


def test_a_token_that_replaces_another_takes_over_scopes_sources_and_consumers(cli: Cli, web: FlaskClient) -> None:
    old, other = (cli.done("token", "create", name, "--source", "bcb").strip() for name in ("old", "other"))
    feed = "/api/v1/consumers/ledger/feed"
    assert web.get(feed, headers={"Authorization": f"Bearer {old}"}).status_code == 200
    new = cli.json("token", "create", "new", "--replaces", "old")
    assert (new["scopes"], new["sources"]) == (list(READ), ["bcb"])
    # Both are valid meanwhile; a third one is still no owner.
    for token, status in ((new["token"], 200), (old, 200), (other, 403)):
        assert web.get(feed, headers={"Authorization": f"Bearer {token}"}).status_code == status
    cli.done("token", "revoke", "old")
    assert web.get(feed, headers={"Authorization": f"Bearer {new['token']}"}).status_code == 200
    assert cli.json("consumers", "show", "ledger")["token"] == "new"
    assert cli.json("audit", "list")[1]["about"]["consumers"] == ["ledger"]


@pytest.mark.parametrize("words", [("--replaces", "none"), ("--replaces", "a", "--scope", READ[0])])
def test_what_cannot_be_replaced_is_refused(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli.run("token", "create", "new", *words).exit_code == 2
    assert cli.json("token", "list") == []
