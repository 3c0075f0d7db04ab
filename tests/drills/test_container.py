"""The Containerfile's own steps in a clean Debian root, and what comes of them, in a root that can't be written.

What is in the image's /opt/receiver is run by its unit too, on a machine that systemd has booted.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import KEY, MEMORY, MEMORY_BYTES_MIN
from drills import container
from drills.container import Root, stages, terminate
from operations.installations import Installation, clone, done, lives, older_database
from servers import ROOT, free_port

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1200)]

STATE = "/var/lib/receiver"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A place for roots: memory where it has room and takes devices, since packages sync each file to a disk."""
    is_fit = os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & (os.ST_NODEV | os.ST_NOEXEC)
    has_room = is_fit and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN
    made = Path(tempfile.mkdtemp(prefix="rcv-image-", dir=MEMORY if has_room else None))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def image(folder: Path) -> Root:
    """What the steps make: the last stage."""
    if reason := container.why_not():
        pytest.skip(reason)
    context = sent(clone(folder / "clone"), folder / "context")
    arguments, found = stages((ROOT / "Containerfile").read_text())
    assert arguments == {"BASE": "debian:bookworm-slim"}
    try:
        container.debian(folder / "debian")
    except container.NotFetched as missing:
        pytest.skip(f"no Debian can be made here: {missing}")
    made: dict[str, Root] = {}
    for stage in found:
        done(["cp", "--archive", str(folder / "debian"), str(folder / f"root-{stage.name}")])
        made[stage.name] = Root(folder / f"root-{stage.name}")
        try:
            made[stage.name].carry_out(stage, context, made)
        except AssertionError as error:
            if container.NOT_REACHED.search(str(error)):
                pytest.skip(f"packages can't be fetched from within a root here: {str(error)[-500:]}")
            raise
    return made[""]


def sent(clone: Path, folder: Path) -> Path:
    """What an engine would be sent of the clone: the files that .dockerignore lets through."""
    names = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    folder.mkdir()
    for name in names:
        done(["cp", "--recursive", "--preserve=mode,timestamps", str(clone / name), str(folder / name)])
    return folder


@pytest.fixture
def state(image: Root, tmp_path: Path) -> Path:
    return image.volume(STATE, tmp_path / "state")


@pytest.fixture
def installed(image: Root, state: Path) -> Installation:
    """A container with a volume, started by the image's own command."""
    port = free_port()
    given = {"RECEIVER_SECRET_KEYS": KEY, "PORT": str(port), "RECEIVER_PROCESSES": "1"}
    return Installation(
        command=image.started(["receiver"], given, {STATE: state}),
        servers=[image.started(image.command, given, {STATE: state})],
        environment=os.environ,
        folder=Path("/"),
        database=state / "receiver.db",
        port=port,
        copies=STATE,
        ask_to_stop=terminate,
    )


def test_a_container_lives_in_a_root_that_can_not_be_written(installed: Installation, image: Root) -> None:
    older_database(installed.database, KEY)
    user, group = map(int, image.user.split(":"))
    for file in installed.database.parent.iterdir():
        os.chown(file, user, group)
    assert "from 0022 to" in installed.run("db", "upgrade")
    lives(installed)


def test_a_container_begins_with_an_empty_volume_and_says_how_it_is(
    installed: Installation, image: Root, state: Path
) -> None:
    health = image.started(image.health, {"PORT": str(installed.port), "RECEIVER_SECRET_KEYS": KEY}, {STATE: state})
    assert subprocess.run(health, capture_output=True, timeout=60).returncode == 1
    with installed.serving():
        assert subprocess.run(health, capture_output=True, timeout=60).returncode == 0
    assert (state / "receiver.db").stat().st_mode & 0o777 == 0o600


def test_nothing_can_be_written_but_the_volume_and_memory(image: Root, state: Path) -> None:
    def run(script: str) -> subprocess.CompletedProcess[str]:
        command = image.started(["sh", "-c", script], {}, {STATE: state})
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert run("id -u; id -G").stdout.split() == image.user.split(":")
    assert run(r"find / -xdev \( -type d -o -type f \) -writable").stdout.split() == ["/tmp", STATE]  # noqa: S108
    assert "Read-only file system" in run("echo > /opt/receiver/wsgi.py").stderr
    assert run(f"mktemp && mktemp --tmpdir={STATE}").returncode == 0
    assert run("grep CapEff /proc/self/status").stdout.split() == ["CapEff:", "0" * 16]


def test_the_image_has_no_tool_that_installs_python_packages_and_knows_the_worlds_time_zones(
    installed: Installation, image: Root, state: Path
) -> None:
    for python in ("python", "/usr/bin/python3"):
        for module in ("pip", "setuptools", "flit_core", "pytest"):
            command = image.started([python, "-m", module, "--version"], {}, {STATE: state})
            assert "No module named" in subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    installed.run("db", "upgrade")
    hours = "business_hours=mon-fri,08:00-18:00,Europe/Vilnius"
    installed.run("source", "add", "cp", "--bank", "connectpay", "--base-url", "http://127.0.0.1:9", "--option", hours)


def test_an_image_of_ones_own_adds_extras(image: Root, folder: Path, state: Path) -> None:
    (text,) = re.findall(r"```dockerfile\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    _, (stage,) = stages(text)
    own = replace(image, path=folder / "own")
    done(["cp", "--archive", str(image.path), str(own.path)])
    own.carry_out(stage, folder, {})
    assert own.user == image.user
    command = own.started(["python", "-c", "import apprise, authlib"], {}, {STATE: state})
    assert subprocess.run(command, timeout=60).returncode == 0


@pytest.fixture
def machine(image: Root, folder: Path) -> Installation:
    """A machine that has systemd as its first process, and in /opt/receiver what the image has there."""
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("systemd-nspawn is not installed (Debian's package systemd-container)")
    root = Root(folder / "machine")
    done(["cp", "--archive", str(image.path), str(root.path)])
    nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={root.path}"]
    tried = subprocess.run([*nspawn, "/bin/true"], capture_output=True, text=True, timeout=120)
    if tried.returncode:
        pytest.skip(f"no machine can be started here: {tried.stderr.strip()}")
    root.run("apt-get update && apt-get install --yes --no-install-recommends systemd-sysv", {})
    port = free_port()
    settings = root.inside("/etc/receiver/receiver.env")
    settings.parent.mkdir()
    text = (ROOT / ".env.example").read_text().replace("RECEIVER_SECRET_KEYS=", f"RECEIVER_SECRET_KEYS={KEY}")
    settings.write_text(f"{text}\nPORT={port}\n")
    settings.chmod(0o600)
    units = root.inside("/etc/systemd/system")
    shutil.copy(ROOT / "docs" / "operations" / "systemd" / "receiver.service", units)
    root.run("systemctl enable receiver && rm -f /etc/machine-id && touch /etc/machine-id", {})
    root.workdir, root.user, root.environment = image.workdir, image.user, {"PATH": image.environment["PATH"]}
    given = dict(re.findall(r"^Environment=(\w+)=(.+)$", (units / "receiver.service").read_text(), re.MULTILINE))
    state = root.inside(STATE)
    return Installation(
        command=root.started(["receiver"], {**given, "RECEIVER_SECRET_KEYS": KEY}, {STATE: state}),
        servers=[[*nspawn, "--boot"]],
        environment=os.environ,
        folder=Path("/"),
        database=state / "receiver.db",
        port=port,
        copies=STATE,
    )


def test_the_unit_lives_under_systemd_itself(machine: Installation, image: Root) -> None:
    older_database(machine.database, KEY)
    for file in machine.database.parent.iterdir():
        os.chown(file, *map(int, image.user.split(":")))
    # `receiver run` migrates it.
    lives(machine)
    with machine.serving():
        (server, *_) = [each for each in psutil.process_iter() if _is_ours(each, machine.port)]
        status = dict(re.findall(r"^(\w+):\s*(.+)$", Path(f"/proc/{server.pid}/status").read_text(), re.MULTILINE))
    assert (status["NoNewPrivs"], status["Seccomp"], status["CapBnd"]) == ("1", "2", "0" * 16)
    assert status["Uid"].split() == [image.user.split(":")[0]] * 4


def _is_ours(process: psutil.Process, port: int) -> bool:
    """Tell whether a process listens on a port."""
    with suppress(psutil.Error):
        return any(
            each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in process.net_connections("tcp")
        )
    return False
