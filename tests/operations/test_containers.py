"""The Containerfile and compose.yaml: what they name is there, is ours, and fits together.

`tests/drills/test_container.py` carries the Containerfile's steps out.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import requests
import yaml
from bank import BankSigner, deposit
from conftest import KEY, add_source, make_token
from drills.container import Stage, stages
from proxying import available, nginx, running, wait_for
from servers import RECEIVER, ROOT, environment, free_port

from receiver.cli import main
from receiver.runtime import Runtime
from receiver.settings import Settings, environment_name

SETTINGS = {environment_name(field) for field in Settings.model_fields}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
COMPOSE_FILE = (ROOT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE)
OURS: dict[str, Any] = COMPOSE["services"]["receiver"]
ARGUMENTS, STAGES = stages((ROOT / "Containerfile").read_text())
START_SECONDS = 120


def is_command(words: list[str]) -> bool:
    """Tell whether it is a command of ours."""
    found: click.Command | None = main
    for word in words[1:]:
        found = found.commands.get(word) if isinstance(found, click.Group) else None
    return words[0] == "receiver" and found is not None


def given(stage: Stage, word: str) -> list[str]:
    return [step.rest for step in stage.steps if step.word == word]


def test_each_file_that_an_image_is_made_of_is_there_and_is_sent() -> None:
    sent = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = [step.words[:-1] for stage in STAGES for step in stage.steps if step.word == "COPY"]
    files = {name for names in copied for name in names if not names[0].startswith("--from=")}
    assert files == sent
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert not {".env", "var"} & sent


def test_an_image_runs_commands_of_ours_by_settings_that_there_are_as_nobodys_user() -> None:
    last = STAGES[-1]
    (command,) = [step.words for step in last.steps if step.word == "CMD"]
    (health,) = given(last, "HEALTHCHECK")
    assert is_command(command)
    assert health.endswith('CMD ["receiver", "healthcheck"]')
    assert is_command(["receiver", "healthcheck"])
    names = {each.partition("=")[0] for each in given(last, "ENV")}
    assert names - {"PATH"} <= SETTINGS
    assert given(last, "USER") == ["10001:10001"]
    (volume,) = given(last, "VOLUME")
    assert f"RECEIVER_DATABASE_URL=sqlite:///{volume}/receiver.db" in given(last, "ENV")


def test_the_base_is_a_variable_and_no_registry_is_named() -> None:
    assert {base.split()[0] for stage in STAGES for base in given(stage, "FROM")} == {"${BASE}"}
    assert re.fullmatch(r"debian:[a-z]+-slim", ARGUMENTS["BASE"])
    images = [service["image"] for service in COMPOSE["services"].values()]
    assert [image for image in images if re.search(r"(^|-)[\w.]+\.\w+/", image)] == []


def test_compose_sets_settings_that_there_are_and_runs_commands_of_ours() -> None:
    assert set(OURS["environment"]) <= SETTINGS
    assert is_command(OURS["command"])
    assert OURS["healthcheck"]["test"][0] == "CMD"
    assert is_command(OURS["healthcheck"]["test"][1:])
    assert OURS["build"]["dockerfile"] == "Containerfile"


def test_compose_gives_the_receiver_a_root_that_it_can_not_write_and_no_capability() -> None:
    assert (OURS["read_only"], OURS["cap_drop"]) == (True, ["ALL"])
    assert OURS["security_opt"] == ["no-new-privileges:true"]
    (volume,) = given(STAGES[-1], "VOLUME")
    written = [mount.split(":")[1] for mount in OURS["volumes"]] + OURS["tmpfs"]
    socket, metrics = OURS["environment"]["RECEIVER_BIND"], OURS["environment"]["RECEIVER_METRICS_DIRECTORY"]
    for place in (volume, socket.removeprefix("unix:"), metrics):
        assert any(place.startswith(folder) for folder in written), place


def test_each_file_and_volume_and_secret_that_compose_mounts_is_there() -> None:
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"], mount
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])


def test_each_variable_of_compose_is_a_setting_or_in_the_docs() -> None:
    names = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE)) | {
        each["environment"] for each in COMPOSE["secrets"].values()
    }
    _, _, section = OPERATIONS.partition("\n### Compose\n")
    documented = set(re.findall(r"[A-Z_]{3,}", section.partition("\n## ")[0]))
    assert names <= documented
    # What can't be guessed has no default: it is asked for.
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE_FILE))
    assert needed == set(re.findall(r"^([A-Z_]+)=\$\(openssl", section, re.MULTILINE))


def prepared(folder: Path) -> subprocess.CompletedProcess[str]:
    """Do in a folder what the docs say before Compose is started, and print the shell's umask afterwards."""
    block = OPERATIONS.partition("\n### Compose\n")[2].partition("```console\n")[2].partition("```")[0]
    steps = block.partition("$ docker ")[0]
    script = "\n".join(line.removeprefix("$ ") for line in steps.splitlines())
    return subprocess.run(["bash", "-c", f"umask 022\n{script}\numask"], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def cloned(tmp_path: Path) -> Path:
    """A folder with the files that Compose mounts, as `umask 077` makes them."""
    shutil.copytree(ROOT / "docs" / "operations", tmp_path / "docs" / "operations")
    for file in (tmp_path / "docs").rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)
    return tmp_path


def test_the_steps_for_compose_let_prometheus_read_its_files_and_leave_the_shell_as_it_was(cloned: Path) -> None:
    assert prepared(cloned).stdout == "0022\n"
    mounted = [mount.split(":")[0] for mount in COMPOSE["services"]["prometheus"]["volumes"] if mount.startswith("./")]
    assert [(cloned / file).stat().st_mode & 0o777 for file in mounted] == [0o644] * 2


def test_the_steps_for_compose_write_what_it_needs_for_their_owner_alone(tmp_path: Path) -> None:
    prepared(tmp_path)
    written = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert set(written) == set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE_FILE))
    assert Settings(_env_file=tmp_path / ".env").keys
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_the_steps_for_compose_write_over_no_settings_that_are_there(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RECEIVER_SECRET_KEYS=the-only-copy\n")
    assert ".env" in prepared(tmp_path).stderr
    assert (tmp_path / ".env").read_text() == "RECEIVER_SECRET_KEYS=the-only-copy\n"


def test_nginx_passes_callbacks_on_as_documented() -> None:
    (documented,) = re.findall(r"```nginx\n(.*?)```", OPERATIONS, re.DOTALL)
    before_a_socket = documented.replace("http://127.0.0.1:8000", "http://unix:/run/receiver/web.sock")
    assert before_a_socket in (ROOT / "docs" / "operations" / "compose" / "nginx.conf").read_text()


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder with a short name, as a socket's has to be."""
    folder = Path(tempfile.mkdtemp(prefix="rcv"))
    yield folder
    shutil.rmtree(folder)


def environment_of_compose(database_url: str, folder: Path) -> dict[str, str]:
    """The receiver's environment as compose.yaml has it, with other places."""
    values = {"RECEIVER_SECRET_KEYS": KEY, "RECEIVER_METRICS_TOKEN": "metrics-token"}

    def value(found: re.Match[str]) -> str:
        return values.get(found[1], "x" if found[2] == ":?" else found[3])

    found = {
        name: re.sub(r"\$\{([A-Z_]+)(:[?-])([^}]*)\}", value, text).replace("/run/receiver", str(folder))
        for name, text in OURS["environment"].items()
    }
    changed = {"RECEIVER_DATABASE_URL": database_url, "RECEIVER_METRICS_DIRECTORY": str(folder / "metrics")}
    return {**environment(database_url, KEY), **found, **changed}


@pytest.fixture
def composed(postgresql_url: str, sockets: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The receiver and nginx of compose.yaml, over a PostgreSQL; where callbacks go, and all else."""
    given = environment_of_compose(postgresql_url, sockets)
    callbacks, own = free_port(), free_port()
    configuration = (ROOT / "docs" / "operations" / "compose" / "nginx.conf").read_text()
    places = {
        "/run/receiver": str(sockets),
        "listen 8080": f"listen 127.0.0.1:{callbacks}",
        "listen 8000": f"listen 127.0.0.1:{own}",
    }
    for place, other in places.items():
        assert place in configuration
        configuration = configuration.replace(place, other)
    available("nginx")
    with running([*RECEIVER, *OURS["command"][1:]], env=given, cwd=tmp_path), nginx(tmp_path, configuration):
        wait_for(own)
        ends = time.monotonic() + START_SECONDS
        while subprocess.run([*RECEIVER, *OURS["healthcheck"]["test"][2:]], env=given, capture_output=True).returncode:
            assert time.monotonic() < ends, "the receiver did not get ready"
        yield f"http://127.0.0.1:{callbacks}", f"http://127.0.0.1:{own}"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_receiver_nginx_and_prometheus_fit_together(
    composed: tuple[str, str], live: Runtime, live_bank: BankSigner, tmp_path: Path
) -> None:
    callbacks, own = composed
    add_source(live, allowed_addresses=["127.0.0.1"])
    signed = live_bank.sign(deposit())
    for path, status in ((signed.path, 200), ("/metrics", 404), ("/api/v1/feed", 404)):
        answer = requests.post(callbacks + path, data=signed.body, headers=signed.headers, timeout=60)
        assert answer.status_code == status
    feed = requests.get(f"{own}/api/v1/feed", headers=make_token(live), timeout=60)
    assert [entry["type"] for entry in feed.json()["data"]] == ["bcb.deposit"]
    assert requests.get(f"{own}/metrics", timeout=60).status_code == 401
    assert_scraped(own, tmp_path)


def assert_scraped(own: str, folder: Path) -> None:
    """Let Prometheus read it by the file of compose.yaml, with other places."""
    program = shutil.which("prometheus")
    if program is None:
        assert "CI" not in os.environ, "prometheus is not installed: CI installs Debian's package"
        return
    (folder / "token").write_text("metrics-token")
    shutil.copy(ROOT / "docs" / "operations" / "alerts.yml", folder / "alerts.yml")
    text = (ROOT / "docs" / "operations" / "compose" / "prometheus.yml").read_text()
    places = {
        "nginx:8000": own.removeprefix("http://"),
        "/run/secrets/metrics_token": str(folder / "token"),
        "15s": "1s",
    }
    for place, other in places.items():
        assert place in text
        text = text.replace(place, other)
    file = folder / "prometheus.yml"
    file.write_text(text)
    port = free_port()
    words = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder}/figures",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(words):
        wait_for(port)
        ends = time.monotonic() + START_SECONDS
        while not (found := _up(port)) or found[0]["value"][1] != "1":
            assert time.monotonic() < ends, f"Prometheus did not read the receiver: {found}"
            time.sleep(0.1)
        rules = requests.get(f"http://127.0.0.1:{port}/api/v1/rules", timeout=30).json()
    assert len(rules["data"]["groups"][0]["rules"]) > 10


def _up(port: int) -> list[dict[str, Any]]:
    answer = requests.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": 'up{job="receiver"}'}, timeout=30)
    return list(answer.json()["data"]["result"]) if answer.ok else []
