import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from simulator.callers import FakeClock

import receiver.simulator
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.command import simulator as command
from receiver.simulator.sender import Sender

Started = tuple[subprocess.Popen[str], str]

PACKAGE = Path(receiver.simulator.__file__).parent


@pytest.fixture
def process() -> Iterator[Started]:
    """The simulator in a process of its own, and the address that it announced."""
    started = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "receiver.simulator",
            "--port",
            "0",
            "--callback-url",
            "http://127.0.0.1:1/webhooks/bcb",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent.parent)},
    )
    with started:
        assert started.stdout is not None
        (url,) = re.findall(r"http://127\.0\.0\.1:[0-9]+", started.stdout.readline())
        yield started, url
        started.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_its_address_and_ends_at_once_with_0(process: Started, stop: signal.Signals) -> None:
    started, url = process
    token = {"clientId": "simulator-client", "clientSecret": "simulator-secret"}
    assert requests.post(f"{url}/auth/token", json=token, timeout=60).status_code == 200

    started.send_signal(stop)

    output, errors = started.communicate(timeout=30)
    assert (started.returncode, output, errors) == (0, "", "")


def test_it_ends_at_once_even_while_it_answers_slowly(process: Started) -> None:
    started, url = process
    requests.post(f"{url}/_simulator/faults", json={"kind": "slow", "seconds": 60}, timeout=60)
    with pytest.raises(requests.Timeout):
        requests.get(f"{url}/v1/accounts", timeout=0.3)

    started.terminate()

    assert started.wait(timeout=30) == 0


def test_it_says_clearly_that_a_secret_is_not_base64() -> None:
    result = CliRunner().invoke(command, ["--signing-secret", "not base64"])

    assert result.exit_code == 2
    assert "signing secret" in result.output


def test_it_refuses_a_callback_address_that_is_none() -> None:
    assert CliRunner().invoke(command, ["--callback-url", "nowhere"]).exit_code == 2


def test_it_stops_within_moments_and_frees_its_port() -> None:
    first = Simulator()
    first.start()
    first.stop()

    port = int(first.url.rpartition(":")[2])
    with Simulator(port=port) as second:
        assert second.url == first.url


def test_it_tells_no_secret_in_its_repr() -> None:
    config = Config(client_secret="hush-hush")

    assert "hush-hush" not in repr(config)
    assert config.signing_secret not in repr(config)


def test_it_reports_a_certificate_file_that_is_not_there(clock: FakeClock) -> None:
    sender = Sender(clock, verify="no-such-file.pem")
    attempts = sender.send("https://127.0.0.1:1/", b"", dict, (), lambda _: True)

    assert attempts[0].status is None


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_it_imports_nothing_of_the_receiver_but_signing(module: Path) -> None:
    nodes = list(ast.walk(ast.parse(module.read_text())))
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]

    ours = [name for name in names if name.partition(".")[0] == "receiver"]
    assert all(name.startswith(("receiver.simulator", "receiver.signing")) for name in ours)


BLOCKED = """
import sys
sys.modules["trustme"] = None
from receiver.cli import main
main(sys.argv[1:])
"""
"""Runs a command where `trustme` is not installed."""


@pytest.mark.parametrize("words", [("simulator",), ("simulator", "--bank", "banqup", "--port", "0"), ("demo",)])
def test_without_the_extra_it_ends_with_the_command_that_installs_it(words: tuple[str, ...]) -> None:
    ended = subprocess.run([sys.executable, "-c", BLOCKED, *words], capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "pip install 'bank-callback-receiver[simulator]'" in ended.stderr


def test_without_the_extra_the_module_ends_likewise() -> None:
    code = "import sys; sys.modules['trustme'] = None; import receiver.simulator.__main__"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "pip install 'bank-callback-receiver[simulator]'" in ended.stderr


def test_a_bank_without_tls_needs_no_certificates_made() -> None:
    code = (
        "import sys; from receiver.simulator.bcb import Simulator; Simulator().stop(); print('trustme' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stdout == "False\n"


def test_the_command_line_loads_no_bank_before_one_is_played() -> None:
    code = "import sys, receiver.simulator.command; print([name for name in sys.modules if 'pydantic' in name])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stdout == "[]\n"
