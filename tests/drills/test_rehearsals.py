"""`receiver rehearse` of a day with every fault, ten minutes long; `tests/rehearse` has the short form."""

from pathlib import Path

import pytest
from rehearse.rehearsed import assert_well, databases, left_over, rehearse

from receiver.rehearse.faults import KINDS

MEMORY_GROWTH_MAX = 1.15
"""The end against the middle of the day, behind the morning's load and the kills: what grows with callbacks shows."""


def drill(folder: Path, *words: str, left_out: frozenset[str] = frozenset()) -> None:
    ended, found = rehearse(folder, "--minutes", "10", *words)
    assert_well(ended, found)
    states = {each["kind"]: each["state"] for each in found["faults"]}
    assert states == {kind: "left out" if kind in left_out else "done" for kind in KINDS}, found["faults"]
    assert found["answers"]["genuine"]["503"] > 0
    assert left_over(folder) == []
    memory = found["memory"]
    print(
        f"{found['database']}: {found['callbacks']['taken']} callbacks ({found['callbacks']['things_told']} things), "
        f"{found['callbacks']['recovered']} put off first, {found['answers']['genuine']}, "
        f"{found['answers']['milliseconds']}, memory {[size >> 20 for size in memory.values()]} MB, "
        f"open: {found['left_open']}"
    )
    assert memory["last_bytes"] < memory["middle_bytes"] * MEMORY_GROWTH_MAX


@pytest.mark.drill
@pytest.mark.timeout(1800)
def test_a_day_of_ten_minutes_on_sqlite(tmp_path: Path) -> None:
    drill(tmp_path)


@pytest.mark.drill
@pytest.mark.timeout(1800)
def test_a_day_of_ten_minutes_on_postgresql(tmp_path: Path, postgres: str) -> None:
    before = databases(postgres)
    words = ("--database", "postgresql", "--database-url", postgres.replace(":@", "@"))
    drill(tmp_path, *words, left_out=frozenset({"disk-full"}))
    assert databases(postgres) == before
