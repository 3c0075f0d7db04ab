"""`receiver sweep`: a span of a bank's lists is read on demand, and how far they were read is shown."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cli.commands import Cli
from conftest import add_encrypting_source, add_source
from listing import ACCOUNT, Entry, ListingBank, listing_bank, teach
from sqlalchemy import update

from receiver.runtime import Runtime
from receiver.store import sweeps
from receiver.store.tables import Sweep, table_of
from receiver.worker.sweeps import Sweeps


@pytest.fixture
def bank(live: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[ListingBank]:
    teach(monkeypatch)
    with listing_bank() as found:
        add_source(live, base_url=found.server.url, business_days="mon-fri,19:00,Europe/Copenhagen")
        yield found


def test_a_span_is_read_now_and_what_no_callback_came_for_is_recovered(
    cli: Cli, bank: ListingBank, live: Runtime
) -> None:
    at = datetime(2026, 3, 4, 12, tzinfo=UTC)
    # The day before ends at 19:00 by the clock there, which is 18:00 in UTC.
    begin, end = datetime(2026, 3, 3, 18, tzinfo=UTC), datetime(2026, 3, 4, 18, tzinfo=UTC)
    edge = timedelta(seconds=1)
    bank.add(*(Entry(f"FT{number}", when) for number, when in enumerate((begin - edge, begin, at, end - edge, end))))
    words = ("sweep", "run", "bcb", "--from", "2026-03-04", "--to", "2026-03-05")
    # Of what is from the very beginning no more than the day may be known: it has been here for too short a time.
    expected = {"lists": 1, "lines": 3, "new_lines": 3, "joined": 0, "recovered": 2, "waiting": 1}
    assert cli.json(*words) == expected
    assert cli.json(*words) == expected | {"new_lines": 0, "recovered": 0}
    assert {(begin, end) for _, begin, end in bank.pages} == {
        ("2026-03-03T18:00:00+00:00", "2026-03-04T18:00:00+00:00")
    }
    (entry, _) = cli.json("audit", "list", "--what", "sweep.run")
    assert entry["about"] == {"source": "bcb", "from": "2026-03-03T18:00:00Z", "to": "2026-03-04T18:00:00Z"}
    shown = cli.json("events", "list", "--source", "bcb")
    assert {(event["proof"], event["found_by"], event["proof_key"]) for event in shown} == {("none", "sweep", "")}
    story = cli.json("events", "show", shown[0]["id"])
    found = {"at": shown[0]["received_at"], "what": "found", "by": "sweep"}
    assert story["timeline"][0].items() >= found.items()
    refused = cli.run("events", "raw", shown[0]["id"])
    assert (refused.exit_code, "no callback has come" in refused.stderr) == (1, True)
    refused = cli.run("events", "payload", shown[0]["id"])
    assert (refused.exit_code, "no callback has come" in refused.stderr) == (1, True)
    # What was read long before the source's own mark moves none, and what is to come is read up to now alone.
    cli.done("sweep", "run", "bcb", "--from", live.clock().isoformat(), "--to", "2099-01-01T00:00:00Z")
    with live.database.read() as connection:
        lists = sweeps.of_source(connection, 1)
    assert lists[1].covered_from == begin
    assert lists[1].covered_until == end


def test_a_span_that_is_none_is_wrong_use(cli: Cli, bank: ListingBank) -> None:  # noqa: ARG001 - the source is there
    for begin, end in (("2026-03-05", "2026-03-05"), ("2026-03-05", "2026-03-04"), ("0001-01-01", "2026-03-04")):
        assert cli.run("sweep", "run", "bcb", "--from", begin, "--to", end).exit_code == 2
    beyond = ("0001-01-05T00:00:00Z", "9999-01-01T00:00:00Z")
    for begin in ("yesterday", "2026-13-01", "2026-W10-1", "20260304T120000Z", "2026-03-04T12:00:00", *beyond):
        assert cli.run("sweep", "run", "bcb", "--from", begin).exit_code == 2
    too_late = cli.run("sweep", "run", "bcb", "--from", "2026-03-05", "--to", "9998-01-01T00:00:00Z")
    assert (too_late.exit_code, "outside 1970-01-02 to 9000-01-01" in too_late.stderr) == (2, True)
    assert "sweep.run" not in cli.done("audit", "list")


def test_why_nothing_can_be_read_is_said(cli: Cli, bank: ListingBank, live: Runtime) -> None:
    add_encrypting_source(live)
    none = cli.run("sweep", "run", "bc", "--from", "2026-03-04")
    assert none.exit_code == 1
    bank.status = 403
    refused = cli.run("sweep", "run", "bcb", "--from", "2026-03-04")
    assert (refused.exit_code, "permission missing: " in refused.stderr) == (1, True)
    assert "permission missing: " in cli.done("sweep", "status", "bcb")
    assert "warn  bcb sweep: a list can't be read: its lists: permission missing: " in cli.run("doctor", "bcb").stdout


def test_what_became_of_a_list_that_the_bank_names_no_more_is_shown(cli: Cli, bank: ListingBank, live: Runtime) -> None:
    bank.lists |= {"kept": [], "refused": []}
    cli.done("sweep", "run", "bcb", "--from", (live.clock() - timedelta(days=1)).isoformat())
    bank.unnamed = bank.refused = {"refused"}
    cli.done("sweep", "run", "bcb", "--from", (live.clock() - timedelta(days=1)).isoformat())
    words = "the bank does not name it any more"

    def shown(name: str) -> str:
        (line,) = (each for each in cli.done("sweep", "status", "bcb").splitlines() if f" {name} " in each)
        return line.partition("Z  ")[2]

    assert words not in shown("kept")
    assert f"{words}, read until 20" in shown("refused")
    assert "Z: permission missing: " in shown("refused")
    assert "refused: permission missing" in cli.run("doctor", "bcb").stdout
    # As it is a day later.
    lists = table_of(Sweep)
    with live.database.write() as connection:
        gone = live.clock() - timedelta(minutes=1)
        connection.execute(update(lists).where(lists.c.list_name == "refused").values(gone_at=gone, covered_until=None))
    assert f"{words}, left without its last reading: permission missing: " in shown("refused")
    assert "refused: permission missing" not in cli.run("doctor", "bcb").stdout
    assert cli.json("sweep", "run", "bcb", "--from", (live.clock() - timedelta(days=1)).isoformat())["lists"] == 2


def test_how_far_lists_were_read_is_shown(cli: Cli, bank: ListingBank, live: Runtime) -> None:
    assert "not read yet" in cli.done("sweep", "status")
    bank.add(Entry("FT1", live.clock() - timedelta(days=3)))
    sweeper = Sweeps(live)
    while sweeper.step():
        pass
    cli.done("sweep", "run", "bcb", "--from", (live.clock() - timedelta(days=4)).isoformat())
    (found,) = cli.json("sweep", "status", "bcb")
    assert (found["source"], found["hindrance"], found["recovered"], found["waiting"]) == ("bcb", None, 1, 0)
    names, account = found["lists"]
    assert (names["list"], account["list"], account["error"]) == ("", ACCOUNT, None)
    assert found["covered_until"] == account["covered_until"]
    text = cli.done("sweep", "status")
    assert "bcb: 1 recovered without a callback, 0 lines wait." in text
