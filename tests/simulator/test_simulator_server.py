import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

import receiver.simulator
from receiver.simulator import Simulator, SimulatorConfig
from receiver.simulator.command import simulator as command
from receiver.simulator.courier import Courier

PACKAGE = Path(receiver.simulator.__file__).parent


@pytest.fixture
def process():
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
        line = started.stdout.readline()
        yield started, re.search(r"http://127\.0\.0\.1:[0-9]+", line)[0]
        started.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_its_address_and_ends_at_once_with_0(process, stop):
    started, url = process
    token = {"clientId": "simulator-client", "clientSecret": "simulator-secret"}
    assert requests.post(f"{url}/auth/token", json=token, timeout=10).status_code == 200

    started.send_signal(stop)

    output, errors = started.communicate(timeout=3)
    assert (started.returncode, output, errors) == (0, "", "")


def test_it_ends_at_once_even_while_it_answers_slowly(process):
    started, url = process
    requests.post(f"{url}/_simulator/faults", json={"kind": "slow", "seconds": 60}, timeout=10)
    with pytest.raises(requests.Timeout):
        requests.get(f"{url}/v1/accounts", timeout=0.3)

    started.terminate()

    assert started.wait(timeout=3) == 0


def test_it_says_clearly_that_a_secret_is_not_base64():
    result = CliRunner().invoke(command, ["--signing-secret", "not base64"])

    assert result.exit_code == 2
    assert "signing secret" in result.output


def test_it_refuses_a_callback_address_that_is_none():
    assert CliRunner().invoke(command, ["--callback-url", "nowhere"]).exit_code == 2


def test_it_stops_within_moments_and_frees_its_port():
    first = Simulator()
    first.start()
    first.stop()

    port = int(first.url.rpartition(":")[2])
    with Simulator(port=port) as second:
        assert second.url == first.url


def test_it_tells_no_secret_in_its_repr():
    config = SimulatorConfig(client_secret="hush-hush")

    assert "hush-hush" not in repr(config)
    assert config.signing_secret not in repr(config)


def test_it_reports_a_certificate_file_that_is_not_there(clock):
    attempts = Courier(clock, verify="no-such-file.pem").carry("https://127.0.0.1:1/", b"", dict, ())

    assert attempts[0].status is None


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_it_imports_nothing_of_the_receiver_but_signing(module):
    nodes = list(ast.walk(ast.parse(module.read_text())))
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]

    ours = [name for name in names if name.partition(".")[0] == "receiver"]
    assert all(name.startswith(("receiver.simulator", "receiver.signing")) for name in ours)
