"""`receiver rehearse` as a user runs it: a day in half a minute on SQLite with every fault, and its report.

What it shows depends on no speed: nothing lost, nothing doubled, nothing answered that should not be.
"""

import json
import os
import pty
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, sync_playwright
from rehearse.rehearsed import assert_well, command, left_over, rehearse, report
from servers import ROOT
from staff.conftest import ARGUMENTS, NO_BROWSER

from receiver.rehearse.faults import HOURS, KINDS
from receiver.rehearse.rehearsal import _interrupted_once
from receiver.rehearse.report import ANSWERS
from receiver.server.throwaway import ENDING

MINUTES, CALLBACKS = ("2", "1500") if "PICTURES" in os.environ else ("0.5", "200")
PICTURE = ROOT / "docs" / "rehearsal.png"

pytestmark = pytest.mark.timeout(1200)
"""It waits for as long as anything moves, on a machine that is busy too."""

Ran = tuple[subprocess.CompletedProcess[str], dict[str, Any], Path]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One rehearsal for all tests here."""
    folder = tmp_path_factory.mktemp("rehearsal")
    ended, found = rehearse(folder, "--minutes", MINUTES, "--callbacks", CALLBACKS, "--json")
    return ended, found, folder


def test_a_day_with_every_fault_loses_and_doubles_nothing(ran: Ran) -> None:
    ended, found, folder = ran
    assert_well(ended, found)
    assert json.loads(ended.stdout) == found
    states = {each["kind"]: each["state"] for each in found["faults"]}
    assert states == dict.fromkeys(KINDS, "done"), found["faults"]
    assert found["callbacks"]["genuine"] == int(CALLBACKS)
    assert found["feed"]["callbacks"] == found["callbacks"]["things_told"] >= int(CALLBACKS) * 0.9
    assert found["feed"]["replayed"] > 0
    assert found["callbacks"]["forged"] > 0
    # The worker that was killed; one that meets the locked database as it starts is started once more. The web server
    # goes on whatever its processes meet as they start.
    assert found["restarts"]["worker"] >= 1
    assert found["restarts"]["web"] == 0
    assert left_over(folder) == []


def test_the_report_says_when_each_fault_was(ran: Ran) -> None:
    _, found, _ = ran
    assert [each["kind"] for each in found["faults"]] == [kind for kind, _ in sorted(HOURS.items(), key=lambda x: x[1])]
    assert len(found["quarters"]) == 96
    counted = sum(row[kind] for kind in ANSWERS for row in found["quarters"])
    assert counted == sum(found["answers"]["genuine"].values()) + sum(found["answers"]["forged"].values())
    assert found["answers"]["slowest"][0]["milliseconds"] == found["answers"]["milliseconds"]["slowest"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, headless=True, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_without_a_complaint_and_loads_nothing(
    ran: Ran, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    _, found, folder = ran
    address = (folder / "report" / "report.html").as_uri()
    said: list[str] = []
    asked: list[str] = []
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1100, "height": 900})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    assert page.get_by_role("img").count() == 3
    assert page.get_by_text("Nothing was lost, nothing was doubled").is_visible()
    for each in found["faults"]:
        assert page.get_by_role("cell", name=each["kind"], exact=True).is_visible()
    assert said == []
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    if "PICTURES" in os.environ and scheme == "light":
        box = page.get_by_role("table").first.bounding_box()
        assert box is not None
        height = box["y"] + box["height"] + 24
        page.screenshot(path=PICTURE, clip={"x": 0, "y": 0, "width": 1100, "height": height}, full_page=True)
    page.close()


def test_ctrl_c_leaves_the_report_and_nothing_else(tmp_path: Path) -> None:
    line, environment = command(tmp_path, "--minutes", "60", "--callbacks", "100000", "--no-faults")
    started = subprocess.Popen(line, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_callbacks(tmp_path, started, lambda: None)
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=300)
    finally:
        started.kill()
    assert started.returncode == 1
    assert "Error: it was ended before its end" in said
    found = report(tmp_path)
    assert found["interrupted"]
    assert found["wrong"] == ["it was ended before its end"]
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("number", ENDING)
def test_what_ends_a_program_ends_it_in_good_order(number: int) -> None:
    # Whoever runs the tests may have it ignored, as `nohup` does.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with _interrupted_once() as asked:
            assert not asked()
            for _ in range(2):
                signal.raise_signal(number)
            assert asked()
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _interrupted_once() as asked:
            signal.raise_signal(signal.SIGHUP)
            assert not asked()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.drill
def test_a_terminal_that_is_closed_leaves_the_report_and_nothing_else(tmp_path: Path) -> None:
    line, environment = command(tmp_path, "--minutes", "60", "--callbacks", "100000", "--no-faults")
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-c", WITH_TERMINAL, *line],
        env=environment,
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        wait_for_callbacks(tmp_path, started, lambda: read_all(ours))
        os.close(ours)
        started.wait(timeout=300)
    finally:
        started.kill()
        started.wait()
    assert report(tmp_path)["wrong"] == ["it was ended before its end"]
    assert left_over(tmp_path) == []


WITH_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program whose own terminal it is: it gets SIGHUP when that is closed, and can write nothing there any more."""


def read_all(terminal: int) -> None:
    """Read what was written, lest it is full."""
    while select.select([terminal], [], [], 0)[0]:
        os.read(terminal, 65536)


def wait_for_callbacks(folder: Path, process: subprocess.Popen[Any], meanwhile: Callable[[], None]) -> None:
    """Wait until some were written down."""
    ends = time.monotonic() + 120
    while not came(folder):
        meanwhile()
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.1)


def came(folder: Path) -> int:
    for file in (folder / "meanwhile").glob("*/rehearsal.db"):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection, suppress(sqlite3.Error):
            return int(connection.execute("SELECT count(*) FROM deliveries").fetchone()[0])
    return 0
