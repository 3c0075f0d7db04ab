"""`receiver days`: list, show, close and verify business days; an exported file proves itself by the key alone."""

import csv
import io
import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cli.commands import Cli
from conftest import KEY, add_source
from reconcile.ledger import DAY, EVENING, MORNING, Ledger, known_day
from servers import ROOT

from receiver.runtime import Runtime
from receiver.store import days as stored
from receiver.worker.loop import Worker


@pytest.fixture
def ledger(parts: Runtime) -> Ledger:
    """A ledger whose day is closed."""
    parts.clock.now = MORNING - timedelta(days=1)  # type: ignore[attr-defined]
    made = Ledger(parts, add_source(parts))
    parts.clock.now = EVENING + timedelta(hours=36)  # type: ignore[attr-defined]
    known_day(made)
    Worker(parts).run_once()
    return made


@pytest.mark.usefixtures("ledger")
def test_days_are_listed_and_one_is_shown_with_what_differs_first(cli: Cli) -> None:
    (found,) = [day for day in cli.json("days", "list", "bcb", "--limit", "500") if day["date"] == "2026-03-02"]
    assert (found["state"], found["agreed"], found["recovered"]) == ("closed", 3, 2)
    shown = cli.done("days", "show", "bcb", "2026-03-02", "--limit", "2")
    assert "1 of 1" in shown
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == ["amount_differs", "status_differs"]
    rows = csv.DictReader(
        io.StringIO(cli.done("days", "show", "bcb", "2026-03-02", "--csv", "--category", "recovered"))
    )
    assert {row["payment_id"] for row in rows} == {"FT-r1", "FT-r2"}
    assert cli.done("days", "list", "--csv").splitlines()[0].startswith("source,date,state")
    for wrong in (("2026-3-2",), ("2026-03-02", "--version", "0"), ("2026-03-02", "--json", "--csv")):
        assert cli.run("days", "show", "bcb", *wrong).exit_code == 2
    assert cli.run("days", "list", "bbc").exit_code == 2
    assert "has no version 7" in cli.run("days", "show", "bcb", "2026-03-02", "--version", "7").stderr


def test_a_day_is_closed_by_hand(cli: Cli, ledger: Ledger) -> None:
    same = cli.done("days", "close", "bcb", "2026-03-02")
    assert same.startswith("2026-03-02 of bcb has not changed since version 1; its digest is ")
    ledger.line("FT-new", event_id=ledger.event("FT-new"))
    assert cli.done("days", "close", "bcb", "2026-03-02").startswith("2026-03-02 of bcb is closed in version 2;")
    (entry,) = cli.json("audit", "list", "--what", "day.closed")
    assert (entry["about"]["version"], entry["who"].partition(":")[0]) == (2, "cli")
    refused = cli.run("days", "close", "bcb", "2026-03-03")
    assert (refused.exit_code, "was read until 2026-03-03 02:00 UTC only" in refused.stderr) == (1, True)
    assert cli.done("days", "verify") == "3 versions of closed days are as they were closed.\n"


def exported(cli: Cli, tmp_path: Path) -> Path:
    """The day in a file."""
    file = tmp_path / "day.json"
    file.write_text(cli.done("days", "show", "bcb", "2026-03-02", "--json"))
    return file


def rewritten(file: Path) -> None:
    """Write a file anew as `jq .` and JavaScript do, whose numbers have no `.0`."""

    def whole(found: dict[str, Any]) -> dict[str, Any]:
        numbers = {name: int(value) for name, value in found.items() if isinstance(value, float) and value.is_integer()}
        return found | numbers

    text = json.dumps(json.loads(file.read_text(), object_hook=whole), indent=2)
    assert '_seconds": 2,' in text
    file.write_text(text)


@pytest.mark.usefixtures("ledger")
def test_an_exported_file_proves_itself_by_the_key_alone(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = exported(cli, tmp_path)
    monkeypatch.setenv("RECEIVER_DATABASE_URL", f"sqlite:///{tmp_path}/none/receiver.db")
    said = "2026-03-02 of bcb, version 1, is as it was closed.\n"
    assert cli.done("days", "verify", "--file", str(file)) == said
    assert cli.done("days", "verify", "--file", "-", given=file.read_text()) == said
    # As another program writes the same JSON.
    file.write_text(json.dumps(json.loads(file.read_text()), indent=1))
    assert cli.done("days", "verify", "--file", str(file)) == said
    rewritten(file)
    assert cli.done("days", "verify", "--file", str(file)) == said


@pytest.mark.usefixtures("ledger")
def test_the_few_lines_of_the_documentation_verify_a_file_too(cli: Cli, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/days.md").read_text(), re.DOTALL)
    file = exported(cli, tmp_path)
    for change in (None, rewritten):
        if change is not None:
            change(file)
        for key, status in ((KEY, 0), ("A" * 43 + "=", 1)):
            words = [sys.executable, "-c", program, str(file), key]
            assert subprocess.run(words, capture_output=True, timeout=60).returncode == status


CHANGES = {
    "another amount": ('"amount":"7.50"', '"amount":"7.51"', "a line of recovered was changed, or moved"),
    "another sum": ('"15.00"', '"16.00"', "its counts, sums, or what binds it, were changed"),
    "another day": ('"day":"2026-03-02"', '"day":"2026-03-01"', "its counts, sums, or what binds it, were changed"),
    "another category": ('"category":"bank_alone"', '"category":"agreed"', "its lines are not in their order"),
    "a name twice": ('"payment_id":"FT-b1"', '"payment_id":"FT-x","payment_id":"FT-b1"', "this is no line of a day"),
    "cut short": ("\n]}\n", "\n", "it was cut short"),
    "no time at all": ('"detection_seconds":2.0', '"detection_seconds":1' + "0" * 400, "was changed, or moved"),
    "another key": ('"key":"', '"key":"0', "is derived of none of RECEIVER_SECRET_KEYS"),
    "nothing": ('{"header"', '{"heading"', "it is not what `receiver days show --json` writes"),
}


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_was_changed_is_found(cli: Cli, tmp_path: Path, change: str) -> None:
    old, new, words = CHANGES[change]
    file = exported(cli, tmp_path)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    result = cli.run("days", "verify", "--file", str(file))
    assert (result.exit_code, words in result.stderr) == (1, True), result.stderr


@pytest.mark.usefixtures("ledger")
def test_a_line_that_was_cut_out_of_a_file_is_found(cli: Cli, tmp_path: Path) -> None:
    file = exported(cli, tmp_path)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "FT-r1" not in line))
    result = cli.run("days", "verify", "--file", str(file))
    assert "2 lines of recovered were written, and 1 are there" in result.stderr
    assert cli.run("days", "verify", "bcb", "--file", str(file)).exit_code == 2


@pytest.mark.usefixtures("ledger")
def test_files_and_days_stay_verifiable_when_the_secret_key_is_rotated(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = exported(cli, tmp_path)
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", f"{'A' * 43}=,{KEY}")
    assert "is as it was closed" in cli.done("days", "verify", "--file", str(file))
    cli.done("secret", "reencrypt")
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", f"{'A' * 43}=")
    # By the key that the database has of it.
    assert "is as it was closed" in cli.done("days", "verify", "--file", str(file))
    assert cli.done("days", "verify", "bcb", "2026-03-02") == "1 versions of closed days are as they were closed.\n"


@pytest.mark.usefixtures("ledger")
def test_an_open_day_has_no_digest(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "open.json"
    file.write_text(cli.done("days", "show", "bcb", "2026-03-03", "--json"))
    assert "was not closed" in cli.run("days", "verify", "--file", str(file)).stderr
    assert "is not closed" in cli.run("days", "verify", "bcb", "2026-03-03").stderr


def test_a_day_that_was_changed_in_the_database_is_said_with_all_that_does_not_fit(
    cli: Cli, ledger: Ledger, parts: Runtime
) -> None:
    with parts.database.write() as connection:
        found = stored.find(connection, ledger.source.id, DAY)
        assert found is not None
        connection.exec_driver_sql(f"DELETE FROM day_lines WHERE version_id = {found.id} AND category <> 'agreed'")  # noqa: S608
    result = cli.run("days", "verify")
    assert result.exit_code == 1
    assert "bcb 2026-03-02, version 1: 2 lines of recovered were written, and 0 are there" in result.stderr
    assert "1 lines of bank alone were written, and 0 are there" in result.stderr
