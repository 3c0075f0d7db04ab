"""A replay whose worker is killed -9 at half: started again, it sends each entry once, each marked."""

import re
import subprocess
import time
from collections import Counter

import pytest
import requests
from conftest import KEY, make_token
from drills.ledger import read_feed
from flask.testing import FlaskClient
from servers import RECEIVER, WebServer, environment
from sqlalchemy import text
from store.plenty import fill
from web.staff.signed_in import signed_in

from receiver.admin import replays as acts
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.web import create_app

PER_SECOND = 10_000
"""So that there is a half at which to kill: a part has 500 entries."""


def drill(server: WebServer, parts: Runtime, *, entries: int, per_second: int) -> None:
    fill(parts, entries)
    with parts.database.write() as connection:
        # There is no bank to ask.
        connection.execute(text("UPDATE subjects SET due_at = NULL"))
    token = make_token(parts)
    asked = {"filter": {}, "reason": "a drill", "per_second": per_second, "dry_run": True}
    plan = requests.post(f"{server.url}/api/v1/replays", json=asked, headers=token, timeout=30).json()
    assert plan["matched"] == entries
    run = requests.post(f"{server.url}/api/v1/replays", json={"plan": plan["plan"]}, headers=token, timeout=30).json()
    if entries > parts.settings.replay_approval_above:
        assert run["state"] == "awaiting_approval"
        acts.approve(parts, "cli:somebody-else", run["id"])
    url = f"{server.url}/api/v1/replays/{run['id']}"

    def wait_for(done: int) -> dict[str, object]:
        ends = time.monotonic() + 60
        while True:
            shown: dict[str, object] = requests.get(url, headers=token, timeout=30).json()
            if int(str(shown["done"])) >= done:
                return shown
            assert time.monotonic() < ends, shown
            time.sleep(0.002)

    worker = start_worker(parts)
    half = wait_for(entries // 2 - 250)
    worker.kill()
    worker.wait()
    at_kill = wait_for(0)
    page = signed_in(create_app(parts), parts, Role.VIEWER)
    assert shown_on(page, run["id"]) == ("running", int(str(at_kill["done"])))
    assert (half["state"], at_kill["state"]) == ("running", "running")
    worker = start_worker(parts)
    try:
        wait_for(entries)
        ends = time.monotonic() + 60
        while wait_for(entries)["state"] != "done":
            assert time.monotonic() < ends
            time.sleep(0.05)
    finally:
        worker.terminate()
        worker.wait(30)
    assert shown_on(page, run["id"]) == ("done", entries)
    everything = read_feed(server.url, token, limit=1000)
    originals, again = everything[:entries], everything[entries:]
    assert Counter(entry["eventid"] for entry in again) == Counter(entry["eventid"] for entry in originals)
    assert {entry["replayid"] for entry in again} == {run["id"]}
    assert not any("replayid" in entry for entry in originals)
    print(f"{parts.database.engine.dialect.name}: killed at {at_kill['done']} of {entries}, {len(again)} sent in all")


def shown_on(client: FlaskClient, replay_id: str) -> tuple[str, int]:
    """What the staff page of the replay shows: its state, and how many entries are sent."""
    shown = client.get(f"/staff/replays/{replay_id}").text
    progress = re.search(r'id="progress".*?</span> (\w+)</span>.*?<progress value="(\d+)"', shown, re.DOTALL)
    assert progress is not None, shown
    return progress[1], int(progress[2])


def start_worker(parts: Runtime) -> subprocess.Popen[bytes]:
    served = environment(parts.settings.database_url, KEY, RECEIVER_LOG_LEVEL="ERROR")
    return subprocess.Popen([*RECEIVER, "worker"], env=served)


def test_a_replay_of_600_entries_killed_at_half_sends_each_once(server: WebServer, live: Runtime) -> None:
    drill(server, live, entries=600, per_second=400)


@pytest.mark.drill
@pytest.mark.timeout(300)
def test_a_replay_of_50000_entries_killed_at_half_sends_each_once(server: WebServer, live: Runtime) -> None:
    drill(server, live, entries=50_000, per_second=PER_SECOND)
