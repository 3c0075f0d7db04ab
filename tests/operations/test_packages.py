"""What people install: a clone with `make run`, a wheel with a unit of systemd. Each lives through what it has to.

The packages that these need are linked from the environment of the tests; `make drills` installs them anew, by hashes.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from bank import BankSigner, deposit
from conftest import KEY
from operations.installations import (
    PATH,
    Installation,
    clone,
    done,
    environment_by_links,
    lend_environment,
    lives,
    older_database,
    site_packages,
    unit,
)
from servers import ROOT, free_port

from receiver.runtime import utc_now


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `make setup` was done."""
    folder = clone(tmp_path_factory.mktemp("clone"))
    lend_environment(folder)
    make(folder, "setup")
    return folder


def make(folder: Path, *words: str) -> str:
    given = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return done(["make", *words], cwd=folder, env=given)


@pytest.fixture(scope="module")
def dist(cloned: Path) -> Path:
    """What `make wheel` makes."""
    make(cloned, "wheel")
    return cloned / "dist"


def wheel_in(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def key_of(settings: Path) -> str:
    (found,) = re.findall(r"^RECEIVER_SECRET_KEYS=(.+)$", settings.read_text(), re.MULTILINE)
    return str(found)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """What Ctrl-C does: all that the terminal has in the foreground is told."""
    os.killpg(process.pid, signal.SIGINT)


def test_a_clone_lives_by_make_run(cloned: Path) -> None:
    port = free_port()
    given = {"PATH": os.environ["PATH"], "HOME": str(cloned), "PORT": str(port), "RECEIVER_PROCESSES": "1"}
    database = cloned / "var" / "receiver.db"
    older_database(database, key_of(cloned / ".env"))
    installed = Installation(
        command=[".venv/bin/receiver"],
        servers=[["make", "run"]],
        environment=given,
        folder=cloned,
        database=database,
        port=port,
        ask_to_stop=interrupt,
    )
    # `make run` migrates it.
    lives(installed)


TELLS_ITS_PORT = f"""#!/bin/sh
test "$1" = run || exit 0
exec {sys.executable} -c 'from receiver.settings import load_settings; print(load_settings().port)'
"""
"""In place of our own command."""


@pytest.mark.parametrize(
    ("line", "words", "environment", "port"),
    [
        ("", (), {}, 8000),
        ("PORT=8123", (), {}, 8123),
        ("PORT=8123", ("PORT=8080",), {}, 8080),
        ("PORT=8123", (), {"PORT": "8080"}, 8080),
        ("", ("PORT=8080",), {}, 8080),
        ("", (), {"PORT": "8080"}, 8080),
    ],
)
def test_make_run_listens_where_its_word_or_the_environment_or_the_settings_say(
    tmp_path: Path, line: str, words: tuple[str, ...], environment: dict[str, str], port: int
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".env").write_text(f"RECEIVER_SECRET_KEYS={KEY}\n{line}\n")
    command = tmp_path / ".venv" / "bin" / "receiver"
    command.parent.mkdir(parents=True)
    command.write_text(TELLS_ITS_PORT)
    command.chmod(0o700)
    for needed in ("requirements.lock", "requirements-dev.lock", "pyproject.toml", ".venv/.complete"):
        (tmp_path / needed).touch()
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment}
    assert done(["make", "run", *words], cwd=tmp_path, env=given).split() == [str(port)]


@pytest.fixture(scope="module")
def root(cloned: Path, dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine's root with the receiver in /opt/receiver, as docs/operations.md installs it."""
    root = tmp_path_factory.mktemp("root")
    place = root / "opt" / "receiver"
    python = environment_by_links(place / ".venv")
    command = ["python", "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    done([*command, str(wheel_in(dist))], executable=str(cloned / ".venv" / "bin" / "python"))
    for name in ("wsgi.py", "gunicorn.conf.py"):
        (place / name).write_bytes((cloned / name).read_bytes())
    settings = root / "etc" / "receiver" / "receiver.env"
    settings.parent.mkdir(parents=True)
    # As `make setup` has written it; the docs put it there.
    settings.write_bytes((cloned / ".env").read_bytes())
    (root / "var" / "lib" / "receiver").mkdir(parents=True, mode=0o700)
    return root


def by_units(root: Path, *names: str) -> Installation:
    """The wheel as these units start it, over the database of a release before, which is upgraded."""
    port, units = free_port(), [unit(name, root) for name in names]
    (environment,) = {tuple(each.environment.items()) for each in units}
    given = {**dict(environment), "PORT": str(port), "RECEIVER_PROCESSES": "1", "TMPDIR": str(root)}
    database = root / "var" / "lib" / "receiver" / "receiver.db"
    assert given["RECEIVER_DATABASE_URL"] == f"sqlite:///{database}"
    installed = Installation(
        command=[str(root / "opt" / "receiver" / ".venv" / "bin" / "receiver")],
        servers=[each.words for each in units],
        environment=given,
        folder=units[0].folder,
        database=database,
        port=port,
    )
    older_database(database, given["RECEIVER_SECRET_KEYS"])
    assert "from 0022 to" in installed.run("db", "upgrade")
    return installed


def test_a_wheel_lives_by_the_unit_of_all_of_it(root: Path) -> None:
    lives(by_units(root, "receiver"))


def test_a_wheel_takes_callbacks_by_the_units_of_web_server_and_worker(root: Path) -> None:
    installed = by_units(root, "receiver-web", "receiver-worker")
    with installed.serving():
        assert installed.send(BankSigner(utc_now).sign(deposit())) == "accepted"


def test_a_restore_in_earnest_is_the_service_users_own() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    machine, container = re.findall(r"```console\n(.*?)```", text.partition("\nTo restore in earnest")[2], re.DOTALL)[
        :2
    ]
    service = (ROOT / "docs" / "operations" / "systemd" / "receiver.service").read_text()
    user, group = re.findall(r"^(?:User|Group)=(.+)$", service, re.MULTILINE)
    assert f'install -o {user} -g {group} -m 600 "$copy" /var/lib/receiver/receiver.db' in machine
    assert f"--uid={user} " in text
    (number,) = re.findall(r"^USER ([0-9]+):[0-9]+$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    assert f"install -o {number} -g {number} -m 600 /copy.db receiver.db" in container


@pytest.mark.parametrize("name", ["receiver", "receiver-web", "receiver-worker"])
def test_a_command_beside_the_units_has_their_user_database_and_folder(name: str) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    (command,) = re.findall(r"^# as_receiver\(\) \{ (systemd-run .*?); \}$", text, re.MULTILINE | re.DOTALL)
    service = (ROOT / "docs" / "operations" / "systemd" / f"{name}.service").read_text()
    lines = dict(
        re.findall(r"^(User|WorkingDirectory|EnvironmentFile|StateDirectory\w*|UMask)=(.+)$", service, re.MULTILINE)
    )
    (database,) = re.findall(r"^Environment=(RECEIVER_DATABASE_URL=.+)$", service, re.MULTILINE)
    wanted = {
        f"--uid={lines.pop('User')}",
        f"--working-directory={lines.pop('WorkingDirectory')}",
        f"--setenv={database}",
    }
    wanted |= {f"--property={name}={value}" for name, value in lines.items()}
    assert len(lines) == 4
    assert wanted <= set(command.split())


def test_what_is_installed_is_the_wheel_and_not_the_source(root: Path) -> None:
    python = root / "opt" / "receiver" / ".venv" / "bin" / "python"
    found = done([str(python), "-c", "import receiver; print(receiver.__file__)"], cwd=root, env={"PATH": PATH})
    assert Path(found.strip()) == site_packages(python.parent.parent) / "receiver" / "__init__.py"


def test_the_wheel_holds_all_that_the_receiver_reads_and_nothing_else(dist: Path, cloned: Path) -> None:
    named = zipfile.ZipFile(wheel_in(dist)).namelist()
    ours = {str(file.relative_to(cloned)) for file in (cloned / "receiver").rglob("*") if file.is_file()}
    assert {name for name in named if not name.startswith("bank_callback_receiver-")} == {
        name for name in ours if "__pycache__" not in name
    }
    assert {Path(name).name for name in named if name.startswith("bank_callback_receiver-")} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt"),
    }


def test_the_same_source_makes_the_same_wheel(dist: Path, cloned: Path) -> None:
    first = {file.name: file.read_bytes() for file in dist.iterdir()}
    for file in (cloned / "receiver").rglob("*.py"):
        os.utime(file, (1, 1))
    make(cloned, "wheel")
    assert {file.name: file.read_bytes() for file in dist.iterdir()} == first


def test_beside_the_wheel_is_the_lock_of_what_it_needs(dist: Path) -> None:
    assert (dist / "requirements.lock").read_bytes() == (ROOT / "requirements.lock").read_bytes()
    assert {file.suffix for file in dist.iterdir()} == {".whl", ".lock"}
