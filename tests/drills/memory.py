"""How much memory a server's process has held at most, as Linux counts it."""

import re
from pathlib import Path

import psutil
import pytest
from servers import WebServer


def peak_bytes(server: WebServer) -> int:
    """The peak of all its processes together since they started, or since `reset_peak`."""
    return sum(_peak(process.pid) for process in _processes(server))


def reset_peak(server: WebServer) -> None:
    """Let the peak begin anew at what is held now."""
    for process in _processes(server):
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def _processes(server: WebServer) -> list[psutil.Process]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's /proc")
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    return [parent, *parent.children(recursive=True)]


def _peak(pid: int) -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
