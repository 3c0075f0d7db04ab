"""Running several processes as one: they start together, and where one ends all end."""

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

STOP_SECONDS = 35.0
"""A little longer than gunicorn takes to finish what it has taken in."""

POLL_SECONDS = 0.2

WEB = (
    sys.executable,
    "-m",
    "gunicorn",
    "-c",
    "python:receiver.server.gunicorn_config",
    "receiver.server.start:wsgi_app()",
)
RECEIVER = (sys.executable, "-c", "from receiver.cli import main; main(prog_name='receiver')")
"""The command line, from the environment of this very process."""

WORKER = (*RECEIVER, "worker")


def start(
    command: Sequence[str], environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that is told to stop when this one dies, however it dies (on Linux).

    It gets a process group of its own, so that Ctrl-C reaches it through us alone, once. Without an environment or a
    folder to run in it has those of this process.
    """
    return subprocess.Popen(  # noqa: S603 - commands of our own
        command,
        cwd=folder,
        env=dict(environment) if environment is not None else None,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _die_with_parent() -> None:
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def run(commands: Sequence[Sequence[str]]) -> int:
    """Run commands until SIGINT or SIGTERM, or until one of them ends; return 0 for the former, 1 for the latter."""
    asked: list[int] = []

    def ask_to_stop(number: int, _: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    processes = [start(command) for command in commands]
    while not asked and all(process.poll() is None for process in processes):
        time.sleep(POLL_SECONDS)
    stop(processes)
    return 0 if asked else 1


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask processes to end, and kill those that do not in time."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    ends = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
