"""`receiver audit`."""

import pytest
from cli.commands import Cli
from sqlalchemy import text

from receiver.runtime import Runtime

REASON = "the ledger lost a day"


@pytest.fixture
def replayed(cli: Cli) -> None:
    plan = cli.json("replay", "plan", "--reason", REASON)
    cli.done("replay", "run", plan["plan"])
    cli.done("worker", "--once")


@pytest.mark.usefixtures("replayed")
def test_the_list_tells_who_did_what_why_and_when_newest_first(cli: Cli) -> None:
    done, started = cli.json("audit", "list")
    assert (started["what"], started["why"], done["what"], done["why"]) == (
        "replay.started",
        REASON,
        "replay.done",
        REASON,
    )
    assert started["who"].startswith("cli:")
    assert started["at"] <= done["at"]
    assert [row["what"] for row in cli.json("audit", "list", "--limit", "1")] == ["replay.done"]
    heading, *lines = cli.done("audit", "list").splitlines()
    assert heading.split() == ["id", "at", "who", "what", "why", "about"]
    assert len(lines) == 2


def test_an_empty_log_says_so_and_is_whole(cli: Cli) -> None:
    result = cli.run("audit", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "The audit log is empty.\n")
    assert cli.done("audit", "verify").startswith("0 entries")


@pytest.mark.usefixtures("replayed")
def test_a_change_behind_its_back_is_found(cli: Cli, live: Runtime) -> None:
    assert cli.done("audit", "verify").startswith("2 entries")
    with live.database.write() as connection:
        connection.execute(text("DROP TRIGGER audit_entries_refuse_update"))
        connection.execute(text("UPDATE audit_entries SET why = 'another' WHERE id = 1"))
    result = cli.run("audit", "verify")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "entry 1 does not fit" in result.stderr
