"""The README's first callback: its block runs as it stands, against the receiver and a bank as real processes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import KEY
from servers import RECEIVER, ROOT, environment, free_port

START_SECONDS = 120
BLOCK = re.compile(r"<!-- first callback: begin.*?-->\n```bash\n(.*?)```\n<!-- first callback: end -->", re.DOTALL)
README_PORT, README_BANK_PORT = "8000", "9900"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a clone after `make setup`, with a database of its own."""
    for name, value in environment(f"sqlite:///{tmp_path}/receiver.db", KEY, RECEIVER_RECHECK_SECONDS="1").items():
        monkeypatch.setenv(name, value)
    command = tmp_path / ".venv" / "bin" / "receiver"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.join(RECEIVER)} "$@"\n')
    command.chmod(0o755)
    return tmp_path


def start(folder: Path, *words: str, up: str, port: int) -> subprocess.Popen[bytes]:
    """Start a process of the receiver, and wait until its address `up` answers."""
    process = subprocess.Popen([*RECEIVER, *words], cwd=folder, env={**os.environ, "PORT": str(port)})
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        assert process.poll() is None, f"{words[0]} ended with {process.returncode}"
        try:
            if requests.get(f"http://127.0.0.1:{port}{up}", timeout=2).ok:
                return process
        except requests.RequestException:
            time.sleep(0.05)
    process.kill()
    raise AssertionError(f"{words[0]} did not start in time")


@pytest.fixture
def ports(folder: Path) -> Iterator[tuple[int, int]]:
    """The receiver and a bank, as the README starts them; their ports."""
    port, bank_port = free_port(), free_port()
    processes = []
    try:
        processes.append(start(folder, "run", up="/readyz", port=port))
        callbacks = f"http://127.0.0.1:{port}/webhooks/bcb"
        words = ("simulator", "--port", str(bank_port), "--callback-url", callbacks)
        processes.append(start(folder, *words, up="/_simulator/requests", port=bank_port))
        yield port, bank_port
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(45)


def answers(output: str) -> list[dict[str, Any]]:
    """The JSON objects in what the block wrote, whatever stands between them."""
    found, decoder = [], json.JSONDecoder()
    while (start := output.find("{")) >= 0:
        value, end = decoder.raw_decode(output[start:])
        found.append(value)
        output = output[start + end :]
    return found


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "openssl", "curl"))), reason="needs bash, openssl and curl")
def test_the_first_callback_signed_by_hand_ends_as_the_readme_says(folder: Path, ports: tuple[int, int]) -> None:
    (block,) = BLOCK.findall((ROOT / "README.md").read_text())
    assert "python" not in block
    block = block.replace(f":{README_PORT}/", f":{ports[0]}/").replace(f":{README_BANK_PORT}", f":{ports[1]}")
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=folder, capture_output=True, text=True, timeout=90
    )
    assert ran.returncode == 0, ran.stderr
    _, verdict, events, payment = answers(ran.stdout)
    assert verdict["status"] == "accepted"
    assert [event["id"] for event in events["data"]] == verdict["events"]
    assert (payment["payment_id"], payment["status"], payment["agreement"]) == (
        "FT2384654NXF6",
        "completed",
        "confirmed",
    )


def test_the_readme_says_how_the_two_processes_are_started() -> None:
    text = (ROOT / "README.md").read_text()
    assert (
        f".venv/bin/receiver simulator --port {README_BANK_PORT} --callback-url http://127.0.0.1:{README_PORT}" in text
    )
    assert sys.version_info >= tuple(map(int, re.findall(r"Python (\d+)\.(\d+) or newer", text)[0]))
