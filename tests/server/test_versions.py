"""Gunicorn and gevent: the worker class reaches into both, so that other versions than the tested ones do not start."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import KEY
from servers import ROOT, environment

MAJORS: dict[str, int] = ast.literal_eval(
    (ROOT / "receiver/server/gunicorn_config.py").read_text().partition("MAJORS = ")[2].partition("\n")[0]
)
"""Read, not imported: the module is a configuration, which ends the process where a setting is wrong."""

START = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]


@pytest.mark.parametrize(
    ("name", "version", "accepted"), [("gunicorn", "28.0.0", 27), ("gunicorn", "26.9", 27), ("gevent", "27.1", 26)]
)
def test_another_version_ends_the_start_in_one_line(
    tmp_path: Path, sqlite_url: str, name: str, version: str, accepted: int
) -> None:
    installed = tmp_path / f"{name}-{version}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    given = environment(sqlite_url, KEY, PYTHONPATH=str(tmp_path))
    ended = subprocess.run(START, cwd=ROOT, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"receiver: {name} {version} is installed; {name} {accepted} alone is accepted\n"


@pytest.mark.parametrize("name", MAJORS)
def test_the_same_versions_are_asked_for_at_installation(name: str) -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (found,) = [line for line in asked if re.match(rf"{name}\b", line)]
    assert re.sub(r"\[.*\]", "", found) == f"{name}>={MAJORS[name]},<{MAJORS[name] + 1}"


def test_an_extra_that_is_asked_for_and_missing_stops_the_start_with_one_line(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['authlib'] = None\n")
    asked = {"ISSUER": "https://login.example.com", "CLIENT_ID": "receiver", "CLIENT_SECRET": "c" * 40}
    oidc = {f"RECEIVER_OIDC_{name}": value for name, value in asked.items()}
    given = environment(sqlite_url, KEY, PYTHONPATH=str(tmp_path), RECEIVER_PROCESSES="1", **oidc)
    ended = subprocess.run(START, cwd=ROOT, env=given, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in ended.stderr.splitlines() if line.startswith("receiver: ")]
    assert said == ["receiver: RECEIVER_OIDC_ISSUER is set, and Authlib is not installed: install the extra `oidc`"]
    assert "Traceback" not in ended.stderr
    assert ended.returncode != 0


def test_the_driver_of_postgresql_is_not_there_before_gevent_has_patched_the_process() -> None:
    """Else it waits for the server in a way that stops all requests; the master reads the settings before that."""
    given = environment("postgresql+psycopg://receiver@/receiver?host=/run/postgresql&sslmode=disable", KEY)
    look = "import sys, receiver.server.gunicorn_config; print(sorted({'psycopg', 'gevent'} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, env=given, capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "[]\n"
