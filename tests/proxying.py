"""nginx and Caddy as real processes, with a configuration that is given."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 30


def available(program: str) -> str:
    """The path of a program; CI has nginx."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None and (program == "caddy" or "CI" not in os.environ):
        pytest.skip(f"{program} is not installed")
    assert found is not None, f"{program} is not installed"
    return found


@contextmanager
def nginx(folder: Path, configuration: str) -> Iterator[None]:
    """Run nginx with what stands in its `http` block."""
    as_root = "user root;" if os.geteuid() == 0 else ""
    places = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"{as_root} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;\n"
        f"events {{ worker_connections 512; }}\nhttp {{ access_log off; {places}\n{configuration} }}\n"
    )
    with running([available("nginx"), "-e", f"{folder}/errors", "-p", str(folder), "-c", str(file)]):
        yield


@contextmanager
def caddy(folder: Path, configuration: str) -> Iterator[None]:
    file = folder / "Caddyfile"
    file.write_text(configuration.replace("{\n", "{\n    admin off\n", 1))
    home = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with running([available("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)], env=home):
        yield


@contextmanager
def running(command: list[str], **more: Any) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def wait_for(port: int) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < ends, "the proxy did not start in time"
            time.sleep(0.05)
        else:
            return
