"""kill -9 between a callback's commit and the projection, and amid it: nothing is lost or doubled."""

import subprocess
import sys
from signal import SIGKILL

import pytest
from conftest import KEY
from servers import environment
from sqlalchemy import text
from store.made import delivery, event, record

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import feed
from receiver.store.sources import SourceRecord

DIES = """
import os, signal
from receiver import runtime
from receiver.projection import projector
from receiver.settings import load_settings
from receiver.store import claims, outbox
from receiver.store.database import Database
from sqlalchemy import Transaction

outbox.BATCH = 2

def dies(function, after):
    def die(*given):
        if after:
            function(*given)
        os.kill(os.getpid(), signal.SIGKILL)
    return die

{where}
projector.catch_up(runtime.start(load_settings()).database)
"""

PLACES = {
    "before a batch": "outbox.take = dies(outbox.take, after=False)",
    "amid a batch": "outbox.take = dies(outbox.take, after=True)",
    "before its commit": "claims.make_due = dies(claims.make_due, after=True)",
    "after its commit": "Database._commit = dies(Database._commit, after=True)",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_loses_and_doubles_nothing(parts: Runtime, source: SourceRecord, place: str) -> None:
    names = ["FT1", "FT2", "FT3"]
    for name in names:
        record(parts, delivery(parts, source), event(parts, name))
    script = DIES.format(where=PLACES[place])
    killed = subprocess.run(
        [sys.executable, "-c", script], env=environment(parts.database.url, KEY), timeout=60, check=False
    )
    assert killed.returncode == -SIGKILL
    assert catch_up(parts.database) == 3
    with parts.database.read() as connection:
        entries = feed.read(connection, after=0, limit=10).entries
        subjects = connection.execute(text("SELECT subject, attempts FROM subjects ORDER BY subject")).all()
    assert [(entry.position, entry.subject) for entry in entries] == list(enumerate(names, 1))
    assert subjects == [(name, 0) for name in names]
