"""Killing `receiver credentials rotate` -9 at every step in turn; the simulator keeps count of what was really done."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable

from conftest import KEY, add_source
from credentials.callbacks import assert_in_step, post, signed_now, tell, told
from servers import environment

from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator

STEPS = {
    "before the intent is on disk": "patch(credential_changes, 'begin', after=die)",
    "before the request": "patch(attempts, '_call', before=die)",
    "after the request is sent": "patch(HTTPConnection, 'getresponse', before=die_if_asked_to_rotate)",
    "while the answer comes": "patch(HttpClient, '_content', before=die_if_rotated)",
    "after the answer": "patch(attempts, '_call', after=die)",
    "before the commit": "patch(outcomes, 'record', after=die)",
    "after the commit": "patch(attempts.Attempts, '_ended', before=die)",
    "before it is noted that it was told": "patch(CredentialChanges, 'report', before=die)",
}

DIES = """
import os, signal
from http.client import HTTPConnection
from receiver.banks.http import HttpClient
from receiver.credentials import attempts, outcomes
from receiver.credentials.rotation import CredentialChanges
from receiver.store import credential_changes

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def die_if_asked_to_rotate(connection, *_):
    if connection._method == "PATCH":
        die()

def die_if_rotated(_, response):
    if response.request.method == "PATCH":
        die()

def patch(owner, name, before=lambda *_: None, after=lambda *_: None):
    real = getattr(owner, name)
    def patched(*given, **named):
        before(*given)
        result = real(*given, **named)
        after(*given)
        return result
    setattr(owner, name, patched)

STEP
from receiver.cli import main
main(["credentials", "rotate", "bcb"])
"""

ROTATED_BY_THEN = ("after the request is sent", "while the answer comes", "after the answer", "before the commit")
"""The bank has the new secrets, and nobody here knows them."""


def kill_at(step: str, served: dict[str, str], simulator: Simulator) -> None:
    """Run the command until it is killed at the step, and wait until the bank has done what reached it."""
    command = [sys.executable, "-c", DIES.replace("STEP", STEPS[step])]
    killed = subprocess.run(command, env=served, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    ends = time.monotonic() + 60
    while step in ROTATED_BY_THEN and not simulator.bank.credentials.done["rotated"]:
        assert time.monotonic() < ends
        time.sleep(0.01)


def drill(parts: Runtime, step: str, run_again: Callable[[], object]) -> None:
    """Kill the command at a step, run it again, and look at both sides before, between and afterwards."""
    with Simulator(Config(rate_limit=0)) as simulator:
        add_source(parts, base_url=simulator.url)
        in_flight = signed_now(parts, simulator, "FT-before")
        kill_at(step, environment(parts.settings.database_url, KEY), simulator)
        meanwhile = signed_now(parts, simulator, "FT-meanwhile")
        assert post(parts, in_flight) == 200
        assert post(parts, meanwhile) == (503 if step in ROTATED_BY_THEN else 200)
        run_again()
        assert simulator.bank.credentials.done["rotated"] == 1
        assert_in_step(parts, simulator)
        assert post(parts, meanwhile) == 200
        assert tell(parts, simulator, "FT-after") == 200
    assert sorted(map(str, told(parts))) == ["FT-after", "FT-before", "FT-meanwhile"]
