"""Drills have two forms of one proof: a short one that always runs, and a long one for `make drills`."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import KEY, add_source
from drills.postgres import OwnPostgres, new_cluster
from servers import WebServer, environment

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema

ON_POSTGRESQL = (
    *("test_stops", "test_waiting_readers", "test_late_commits", "test_killed_replays", "test_rotations"),
    *("test_killed_batches", "test_large_batches", "test_bank_days", "test_busy_banks", "test_bank_outages"),
    *("test_killed_sweeps", "test_closed_days", "test_turns_at_banks", "test_retention", "test_upgrades"),
)
"""What is the same on both kinds of database but for the store, which has tests of its own on both."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave a short form out on the database that has no other worth than the one that it has on the other."""
    if os.environ.get("DRILLS") == "1":
        return
    for item in items:
        if item.path.parent.name == "drills" and item.path.stem in ON_POSTGRESQL and "[sqlite]" in item.name:
            item.add_marker(pytest.mark.skip(reason="short on PostgreSQL alone; `make drills` runs it on both"))


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    # Not below pytest's own folder, which another session of pytest may clear away in the meantime.
    with new_cluster(Path(tempfile.mkdtemp(prefix="rcv-own-"))) as server:
        yield server


@pytest.fixture
def own_parts(own_postgres: OwnPostgres) -> Iterator[Runtime]:
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=own_postgres.url)
    started = runtime.start(settings)
    schema.upgrade(started.database, started.encryption)
    add_source(started)
    yield started
    started.database.close()


@pytest.fixture
def own_server(own_parts: Runtime) -> Iterator[WebServer]:
    # The losses that this drill causes would fill the log.
    started = WebServer(
        environment(own_parts.settings.database_url, KEY, RECEIVER_LOG_LEVEL="ERROR", RECEIVER_PROCESSES="2")
    ).start()
    yield started
    started.stop()


@pytest.fixture
def server(database_url: str, live: Runtime) -> Iterator[WebServer]:
    """A real gunicorn as it comes, with two processes, over a fresh database with the source `bcb`."""
    add_source(live)
    started = WebServer(environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING", RECEIVER_PROCESSES="2")).start()
    yield started
    started.stop()
