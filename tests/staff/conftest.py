"""One receiver, one bank and one browser for all tests of the staff pages in a browser."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import KEY, add_source
from playwright.sync_api import Browser, sync_playwright
from servers import RECEIVER, WebServer, environment, free_port
from staff.site import PASSWORD, PEOPLE, Site, Visit, ended, token_for, visit

from receiver import runtime
from receiver.admin import people
from receiver.model import Role
from receiver.settings import Settings
from receiver.simulator.bcb import Config, Simulator

APPROVAL_ABOVE = 5
"""So that a large replay is a small one."""

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

NO_BROWSER = "no Chromium is found: install one (Debian: apt-get install chromium), and these tests run"


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip(NO_BROWSER)
    return found


@pytest.fixture(scope="session")
def site(chromium: str, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A receiver and its bank; there are a viewer, an operator, an approver and an admin."""
    assert chromium  # Without a browser nothing is started.
    path = tmp_path_factory.mktemp("staff") / "receiver.db"
    shutil.copy(migrated_file, path)
    url, port = f"sqlite:///{path}", free_port()
    parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
    served = environment(
        url,
        KEY,
        RECEIVER_LOG_LEVEL="ERROR",
        RECEIVER_RECHECK_SECONDS="1",
        RECEIVER_REPLAY_APPROVAL_ABOVE=str(APPROVAL_ABOVE),
    )
    callbacks = f"http://127.0.0.1:{port}/webhooks/bcb"
    with Simulator(Config(rate_limit=0, callback_url=callbacks)) as bank:
        add_source(parts, base_url=bank.url)
        for name in PEOPLE:
            people.add(parts, "cli:tests", name, Role(name), payloads=name in ("admin",), password=PASSWORD)
        server = WebServer(served, port=port).start()
        worker = subprocess.Popen([*RECEIVER, "worker"], env=served)
        yield Site(server.url, parts, bank, token_for(parts))
        ended(worker)
        server.stop()
    parts.database.close()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Callable[..., Visit]]:
    """Opens a browser, `visitor("operator", color_scheme="dark")`; each is looked at in the end for what went wrong."""
    with ExitStack() as stack:

        def opened(name: str | None = None, **options: Any) -> Visit:
            made = stack.enter_context(visit(browser, site, **options))
            return made.sign_in(name) if name else made

        yield opened
