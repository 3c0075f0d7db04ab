"""The long form of `tests/operations/test_packages.py`: packages by their hashes, and a real release before.

What is upgraded was made, and took a callback, by the code of the newest commit that lacks a migration of ours.
"""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from bank import SECRET, BankSigner, Signed, deposit
from operations.installations import Installation, assert_lists_the_lock, clone, done, lives, unit
from servers import ROOT, free_port

from receiver.runtime import utc_now

MIGRATIONS = "receiver/store/migrations/versions"
NOWHERE = "http://127.0.0.1:9"
"""No bank is there: nothing is asked."""


def release_before() -> str:
    """Return the newest commit that has some of our migrations, as they are now, and not all."""
    newest = _migrations("HEAD")
    for commit in done(["git", "rev-list", "HEAD"], cwd=ROOT).split():
        found = _migrations(commit)
        if found and found < newest:
            return commit
    pytest.skip("the history does not reach back to a release before this one")


def _migrations(commit: str) -> set[str]:
    return set(done(["git", "ls-tree", "-r", commit, "--", MIGRATIONS], cwd=ROOT).splitlines())


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the release before, and nothing done in it."""
    folder = tmp_path_factory.mktemp("older")
    packed = subprocess.run(["git", "archive", release_before()], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder


def environment(**more: str) -> dict[str, str]:
    """What a shell has, free of what the developer has set for a receiver."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECEIVER_", "BCB_", "PYTHON"))}
    return {**kept, **more}


def take_a_callback(installed: Installation) -> Signed:
    """Add the source `bcb` with its secret, and have a callback accepted."""
    installed.run("source", "add", "bcb", "--bank", "bcb", "--base-url", NOWHERE)
    installed.run("secret", "set", "bcb", given=SECRET)
    signed = BankSigner(utc_now).sign(deposit(transactionId="FT-older"))
    with installed.serving():
        assert installed.send(signed) == "accepted"
    return signed


def interrupt(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.drill
@pytest.mark.timeout(1200)
def test_make_run_upgrades_the_release_before(older: Path, tmp_path: Path) -> None:
    shutil.copytree(older, tmp_path / "clone", symlinks=True)
    folder, port = tmp_path / "clone", free_port()
    given = environment(PORT=str(port), RECEIVER_PROCESSES="1")
    installed = Installation(
        command=[".venv/bin/receiver"],
        servers=[["make", "run"]],
        environment=given,
        folder=folder,
        database=folder / "var" / "receiver.db",
        port=port,
        ask_to_stop=interrupt,
    )
    done(["make", "setup"], cwd=folder, env=given)
    known = take_a_callback(installed)
    # As `git pull` does it: what it writes is new.
    shutil.rmtree(folder / "receiver")
    clone(folder)
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (folder / name).touch()
    lives(installed, known)


def documented(heading: str) -> str:
    """The first commands below a heading of docs/operations.md."""
    _, _, section = (ROOT / "docs" / "operations.md").read_text().partition(f"\n### {heading}\n")
    (lines, *_) = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return "\n".join(line.removeprefix("$ ") for line in lines.splitlines())


@pytest.mark.drill
@pytest.mark.timeout(1200)
def test_a_wheel_with_its_units_upgrades_the_release_before(older: Path, tmp_path: Path) -> None:
    newer = clone(tmp_path / "clone")
    done(["make", "setup"], cwd=newer, env=environment())
    root = tmp_path / "root"
    (root / "etc" / "receiver").mkdir(parents=True)
    shutil.copy(newer / ".env", root / "etc" / "receiver" / "receiver.env")
    (root / "var" / "lib" / "receiver").mkdir(parents=True, mode=0o700)
    script = documented("A wheel and a unit of systemd").replace("/opt/receiver", f"{root}/opt/receiver")

    # The release before, by the same lines, but for the one that makes the wheel: it may have no such target.
    first = script.replace(
        "make wheel",
        f"mkdir dist && cp requirements.lock dist && {newer}/.venv/bin/python -m flit_core.wheel --outdir dist",
    )
    shutil.copytree(older, tmp_path / "older", symlinks=True)
    (tmp_path / "older" / ".venv").symlink_to(newer / ".venv")
    assert first != script
    done(["bash", "-euo", "pipefail", "-c", first], cwd=tmp_path / "older", env=environment())
    read, port = unit("receiver", root), free_port()
    installed = Installation(
        command=[f"{root}/opt/receiver/.venv/bin/receiver"],
        servers=[read.words],
        environment={**read.environment, "PORT": str(port)},
        folder=read.folder,
        database=root / "var" / "lib" / "receiver" / "receiver.db",
        port=port,
    )
    assert "from empty to" in installed.run("db", "upgrade")
    known = take_a_callback(installed)

    done(["bash", "-euo", "pipefail", "-c", script], cwd=newer, env=environment())
    lives(installed, known)
    done(["make", "sbom"], cwd=newer, env=environment())
    assert_lists_the_lock(newer / "dist" / "sbom.cdx.json")
