"""Receivers as people install them, away from the source: a clone with `make`, a wheel with its units, a container.

Each goes through the same life: upgrade, start, callback, backup, restore.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from bank import SECRET, BankSigner, Signed, deposit
from servers import ROOT, free_port
from sqlalchemy import MetaData, Table

from receiver.runtime import utc_now
from receiver.store import schema
from receiver.store.database import Database
from receiver.store.encryption import Encryption

START_SECONDS, STOP_SECONDS = 180, 60
BEFORE = "0022"
"""The revision that the release before has; what `older_database` writes is written for its columns."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What systemd gives a service."""


@dataclass
class Installation:
    """One way of installing the receiver: how its commands and its server are run, and where its database is."""

    command: Sequence[str]
    """What stands before the words of `receiver`."""
    servers: Sequence[Sequence[str]]
    """What is started to serve, together."""
    environment: Mapping[str, str]
    folder: Path
    database: Path
    port: int = field(default_factory=free_port)
    copies: str = ""
    """The folder for copies of the database, as the installation itself sees it, where it is not as we do."""
    ask_to_stop: Callable[[subprocess.Popen[bytes]], None] = subprocess.Popen.terminate

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *words: str, given: str = "") -> str:
        """Run a command of the receiver that must succeed; return what it writes."""
        return done([*self.command, *words], given=given, cwd=self.folder, env=self.environment)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve until the end of the block, then stop as a service manager does."""
        family: list[psutil.Process] = []
        processes = [
            subprocess.Popen(words, cwd=self.folder, env=self.environment, umask=0o077, start_new_session=True)
            for words in self.servers
        ]
        try:
            self._wait_until_ready(processes)
            family = [each for process in processes for each in psutil.Process(process.pid).children(recursive=True)]
            yield
            for process in processes:
                self.ask_to_stop(process)
            for process in processes:
                process.wait(STOP_SECONDS)
            assert psutil.wait_procs(family, timeout=STOP_SECONDS)[1] == [], "some processes go on"
        finally:
            for each in family:
                if each.is_running():
                    each.kill()
            for process in processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_SECONDS)

    def _wait_until_ready(self, processes: list[subprocess.Popen[bytes]]) -> None:
        ends = time.monotonic() + START_SECONDS
        while True:
            assert all(process.poll() is None for process in processes), "it ended before it was ready"
            assert time.monotonic() < ends, "it did not get ready"
            try:
                if requests.get(f"{self.url}/readyz", timeout=10).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)

    def send(self, signed: Signed) -> str:
        """Send a callback that must be answered 200; return the verdict."""
        answer = requests.post(self.url + signed.path, data=signed.body, headers=signed.headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["status"])

    def restore(self, copy: Path) -> None:
        """Put a copy in the database's place, as docs/operations.md says."""
        owner = self.database.stat()
        os.replace(copy, self.database)
        os.chown(self.database, owner.st_uid, owner.st_gid)
        for end in ("-wal", "-shm"):
            self.database.with_name(self.database.name + end).unlink(missing_ok=True)


def done(command: Sequence[str], given: str = "", **more: Any) -> str:
    """Run a command that must succeed; return what it writes."""
    ended = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=900, **more)
    assert ended.returncode == 0, f"{shlex.join(command)} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return str(ended.stdout)


def older_database(file: Path, key: str) -> None:
    """Make the database of a release before, with the source `bcb` and its signing secret."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for end in ("", "-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    encryption = Encryption([key])
    database = Database(f"sqlite:///{file}")
    schema.upgrade(database, encryption, BEFORE)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    about = {"id": 7, "name": "bcb", "bank": "bcb", "environment": "sandbox", "options": {}, "enabled": True}
    sealed = encryption.encrypt("signing secret 1 of source 7", SECRET)
    rows = {"sources": about, "signing_secrets": {"source_id": 7, "version": 1, "sealed": sealed}}
    with database.write() as connection:
        for name, row in rows.items():
            table = Table(name, MetaData(), autoload_with=connection)
            connection.execute(table.insert(), {**row, "created_at": now})
    database.close()


def lives(installed: Installation, known: Signed | None = None) -> None:
    """Take an installation whose database is migrated through its life, and see each step work.

    `known` is a callback that was accepted before, by an older release.
    """
    bank = BankSigner(utc_now)
    first, second = (bank.sign(deposit(transactionId=number)) for number in ("FT-first", "FT-second"))
    folder = installed.copies or str(installed.database.parent)
    with installed.serving():
        installed.run("healthcheck", "--url", installed.url)
        if known is not None:
            assert installed.send(known) == "duplicate"
        assert installed.send(first) == "accepted"
        assert f"Wrote {folder}/copy.db" in installed.run("db", "backup", f"{folder}/copy.db")
        assert installed.send(second) == "accepted"
        assert installed.send(first) == "duplicate"
    installed.restore(installed.database.parent / "copy.db")
    with installed.serving():
        assert [installed.send(each) for each in (first, second)] == ["duplicate", "accepted"]
    installed.run("db", "check")


def clone(folder: Path) -> Path:
    """Copy the project's files, and nothing else: no environment, no `.env`, no database."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git repository, so what the project's files are is not known")
    listed = done(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT)
    for path in filter(None, listed.split("\0")):
        if (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, folder / path)
    return folder


def lend_environment(folder: Path) -> None:
    """Let a clone use the environment of these tests, as if `make` had made it there."""
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (folder / ".venv" / ".complete").touch()


def locked(lock: str) -> set[str]:
    """The packages of a lock file."""
    return set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / lock).read_text(), re.MULTILINE))


def environment_by_links(folder: Path) -> Path:
    """Make an environment without pip that has the packages of the production lock, by links to ours; its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    packages = site_packages(folder)
    for name in locked("requirements.lock"):
        for top, place in _files(name):
            if not (packages / top).exists():
                (packages / top).symlink_to(place)
    python = folder / "bin" / "python"
    # Its command names the interpreter that it is for.
    gunicorn = (Path(sys.prefix) / "bin" / "gunicorn").read_text().partition("\n")[2]
    (folder / "bin" / "gunicorn").write_text(f"#!{python}\n{gunicorn}")
    (folder / "bin" / "gunicorn").chmod(0o755)
    return python


def assert_lists_the_lock(file: Path) -> None:
    """A list of packages (SBOM) is valid, and names what of the production lock is for this system, and no more."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = file.read_text()
    listed = json.loads(text)
    assert JsonStrictValidator(SchemaVersion.from_version(listed["specVersion"])).validate_str(text) is None
    names = {re.sub(r"[-_.]+", "-", part["name"]).lower(): part for part in listed["components"]}
    assert set(names) == {name for name in locked("requirements.lock") if _files(name)}
    assert [name for name, part in names.items() if not part.get("licenses")] == []
    graph = {each["ref"]: each.get("dependsOn", []) for each in listed["dependencies"]}
    assert names["flask"]["bom-ref"] in graph[listed["metadata"]["component"]["bom-ref"]]
    assert names["werkzeug"]["bom-ref"] in graph[names["flask"]["bom-ref"]]


def site_packages(folder: Path) -> Path:
    """Where an environment has its packages."""
    return folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _files(name: str) -> list[tuple[str, Path]]:
    """The names and places of what a package has installed side by side; nothing where it is for other systems."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return []
    tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
    return [(top, Path(str(found.locate_file(top)))) for top in tops]


@dataclass(frozen=True)
class Unit:
    """A unit of systemd as it stands in the docs, its paths below a folder of ours."""

    words: list[str]
    environment: dict[str, str]
    folder: Path


def unit(name: str, root: Path) -> Unit:
    """Read a unit's command, folder and environment; what its EnvironmentFile holds wins, see systemd.exec(5)."""
    text = (ROOT / "docs" / "operations" / "systemd" / f"{name}.service").read_text()
    text = re.sub(r"/(?:opt|var/lib|etc)/receiver\b", lambda found: f"{root}{found[0]}", text)

    def values(setting: str) -> list[str]:
        return re.findall(rf"^{setting}=(.+)$", text, re.MULTILINE)

    given = [*values("Environment"), *Path(*values("EnvironmentFile")).read_text().splitlines()]
    pairs = [line.partition("=") for line in given if line.strip() and not line.startswith("#")]
    environment = {"PATH": PATH, **{name: value for name, _, value in pairs}}
    (command,), (folder,) = values("ExecStart"), values("WorkingDirectory")
    return Unit(shlex.split(command), environment, Path(folder))
