"""`receiver audit`."""

import json
from pathlib import Path

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


@pytest.mark.usefixtures("replayed")
def test_an_export_is_an_anchor_that_stays_good(cli: Cli, tmp_path: Path) -> None:
    to = tmp_path / "audit.jsonl"
    cli.done("audit", "export", str(to))
    *entries, last = (json.loads(line) for line in to.read_text().splitlines())
    assert [(entry["what"], entry["why"]) for entry in entries] == [("replay.started", REASON), ("replay.done", REASON)]
    assert last == {"entries": 2, "anchor": entries[-1]["digest"]}
    assert cli.done("audit", "export") == to.read_text()
    cli.done("token", "create", "app")
    for anchor in (str(to), last["anchor"]):
        assert cli.done("audit", "verify", "--anchor", anchor).startswith("3 entries")


@pytest.mark.usefixtures("replayed")
def test_what_the_log_does_not_hold_is_no_anchor_of_it(cli: Cli) -> None:
    result = cli.run("audit", "verify", "--anchor", "0" * 64)
    assert result.exit_code == 1
    assert "no entry has the digest 000" in result.stderr


@pytest.mark.parametrize("content", [None, "", "{}", "nonsense", '{"anchor": 7}', '["anchor"]', '{"anchor": "x"}'])
def test_what_is_no_anchor_is_said_to_be_none(cli: Cli, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "anchor"
    if content is not None:
        file.write_text(content)
    result = cli.run("audit", "verify", "--anchor", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(file) in result.stderr
