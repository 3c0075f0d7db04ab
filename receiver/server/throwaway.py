"""What throw-away receivers on this machine share, those of the demo and of a rehearsal.

Their processes run in a folder of their own, where no `.env` lies, and nothing of other receivers reaches them.
"""

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import requests

OF_OTHERS = re.compile(
    r"(RECEIVER_|BCB_|OTEL_|GUNICORN_|SIMULATOR_).*|PROMETHEUS_MULTIPROC_DIR|WEB_CONCURRENCY|FORWARDED_ALLOW_IPS|PORT"
    r"|PG(HOST|HOSTADDR|PORT|DATABASE|SERVICE|SERVICEFILE|OPTIONS)|(HTTPS?|ALL|NO)_PROXY",
    re.IGNORECASE,
)
"""What of the environment is about another receiver, gunicorn or simulator, leads to another database or a proxy."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Ctrl-C, an operator or systemd, a terminal that is closed, and Ctrl-\\."""


def forget_others() -> None:
    """Let nothing of this process's environment reach what is about another receiver."""
    for name in [name for name in os.environ if OF_OTHERS.fullmatch(name)]:
        del os.environ[name]


def environment() -> dict[str, str]:
    """Return this process's environment without what is about others; whoever has it imports what this process does."""
    return {
        **{name: text for name, text in os.environ.items() if not OF_OTHERS.fullmatch(name)},
        "NO_PROXY": "*",
        # From another folder too: an entry may be relative to this one.
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(map(os.path.abspath, sys.path))),
    }


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def call(method: str, url: str, **given: Any) -> requests.Response:
    """Make a request on loopback: no proxy, and nothing out of ~/.netrc in the token's place.

    Raises:
        requests.RequestException
    """
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, **given)


@contextmanager
def heard(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have `handler` called in the block by what ends a program (`ENDING`)."""
    # What is ignored stays so: `nohup` does that.
    numbers = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
