"""The benchmark: it signs as the bank does, and keeps what people wrote around its tables."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bank import BankSigner
from servers import ROOT

from bench import plot, report, sections, signed
from bench.__main__ import BEGIN, END, write

ROUND = {
    **dict.fromkeys(("status_4xx", "status_5xx", "errors", "ran_dry", "database_cpu", "above_250ms"), 0.0),
    **dict.fromkeys(("p50", "p95", "p99", "max", "server_cpu", "generator_cpu", "seconds"), 1.0),
    "syncs": 100.0,
}


def requests(file: Path) -> list[bytes]:
    """The requests of a file, one by one."""
    data, found = file.read_bytes(), []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        found.append(data[4:end])
        data = data[end:]
    return found


def test_the_benchmark_signs_callbacks_as_the_bank_does(tmp_path: Path) -> None:
    first, second = requests(signed.write(tmp_path / "requests", "bcb", "/webhooks/bcb", 2))
    head, _, body = first.partition(b"\r\n\r\n")
    sent = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    bank = BankSigner(lambda: datetime.now(UTC))
    made = bank.sign(body, nonce=sent["Bcb-Nonce"], timestamp=sent["Bcb-Timestamp"])
    assert sent["Bcb-Signature"] == made.headers["Bcb-Signature"]
    assert len(body) == int(sent["Content-Length"]) == signed.BODY_BYTES
    assert first != second


def results() -> dict[str, object]:
    ours, bare = ({**ROUND, "rate": rate} for rate in (600.0, 1000.0))
    return {
        "at": "now",
        "machine": {"missing": "nobody"},
        "settings": {},
        "gunicorn": [],
        "shape": {"rounds": 1, "seconds": 1, "connections": 1, "body_bytes": 1},
        "closed": {"bare": [bare], "ours-sqlite": [ours]},
        "memory": {"ours-sqlite": [(1, 2**20), (2, 2**21)]},
    }


@pytest.mark.parametrize(
    ("numbers", "kept"), [([0, 0, 3, 0, 2, 0], [3, 0, 2]), ([4], [4]), ([0, 0], [0]), ([], [0])], ids=str
)
def test_that_nothing_waits_counts_between_the_first_callback_and_the_last(numbers: list[int], kept: list[int]) -> None:
    assert [number for number, _ in sections.between([(number, 0.5) for number in numbers])] == kept


def test_ratios_stand_beside_the_bare_view() -> None:
    text = report.markdown(results())
    assert "| of the bare view, connections kept | 0.60 (0.60 to 0.60) | - |" in text
    assert "| 2.000 | - |" in text


def test_new_tables_keep_the_prose_around_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, report.markdown(results()), plot.svg(results()))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "0.60" in text
    assert (tmp_path / "page.svg").read_text().startswith("<svg ")


@pytest.mark.skipif(shutil.which("gcc") is None or sys.platform != "linux", reason="needs Linux and a C compiler")
def test_it_measures_callbacks_that_the_receiver_has_stored() -> None:
    command = [sys.executable, "-m", "bench.quick", "--contestants", "ours-sqlite"]
    more = ["--rounds", "1", "--seconds", "0.5", "--warmup", "0", "--connections", "4"]
    given = {**os.environ, "PYTHONPATH": "tests:."}
    done = subprocess.run([*command, *more], cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ours-sqlite" in done.stdout
