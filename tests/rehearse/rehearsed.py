"""`receiver rehearse` in a process of its own, and what it leaves."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import psycopg
from servers import RECEIVER

ENDS_SECONDS = 1200


def command(folder: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    """The command and its environment: everything that it makes goes below `folder`."""
    (folder / "meanwhile").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(folder / "meanwhile")}
    return [*RECEIVER, "rehearse", "--to", str(folder / "report"), *words], environment


def rehearse(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run it to its end; return the process and the report."""
    line, environment = command(folder, *words)
    ended = subprocess.run(
        line, env=environment, cwd=folder, capture_output=True, text=True, timeout=ENDS_SECONDS, check=False
    )
    return ended, report(folder)


def report(folder: Path) -> dict[str, Any]:
    """The report as programs read it."""
    found: dict[str, Any] = json.loads((folder / "report" / "report.json").read_text())
    return found


def left_over(folder: Path) -> list[str]:
    """Files and processes that are still there."""
    # The tests themselves stand in the folder of the one that runs.
    others = [each for each in psutil.process_iter(["cmdline", "cwd"]) if each.pid != os.getpid()]
    processes = [process.info for process in others]
    running = [" ".join(each["cmdline"] or []) for each in processes if str(each["cwd"] or "").startswith(str(folder))]
    return [*(str(path) for path in (folder / "meanwhile").iterdir()), *running]


def databases(url: str) -> set[str]:
    """Those of rehearsals."""
    with psycopg.connect(url) as connection:
        names = {row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()}
    return {name for name in names if name.startswith("receiver_rehearsal_")}


def assert_well(ended: subprocess.CompletedProcess[str], found: dict[str, Any]) -> None:
    """Nothing was lost or doubled, and nobody was answered what they should not be."""
    assert found["wrong"] == [], ended.stderr[-2000:]
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert (found["lost"]["number"], found["doubled"]["number"]) == (0, 0)
    assert found["callbacks"]["taken"] == found["callbacks"]["genuine"]
    assert found["answers"]["genuine"].keys() <= {"200", "401", "503", "none"}
    assert found["answers"]["forged"].keys() <= {"401", "503", "none"}
