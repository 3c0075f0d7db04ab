"""The audit log's newest digest stands in the worker's log, so that it is stored elsewhere than in the database."""

import logging

import pytest
from conftest import StandingClock

from receiver.runtime import Runtime
from receiver.store import audit
from receiver.worker.chores import AuditAnchor


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The query is plain; one kind of database is enough."""
    return sqlite_url


def act(parts: Runtime) -> str:
    with parts.database.write() as connection:
        audit.write(connection, parts.encryption, at=parts.clock(), who="x", what="y", why=None, about={})
    with parts.database.read() as connection:
        state = audit.state(connection)
    assert state is not None
    return str(state.digest)


def test_the_newest_digest_is_logged_when_it_has_changed_once_a_minute_at_most(
    parts: Runtime, clock: StandingClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receiver.worker")
    anchor = AuditAnchor(parts)
    anchor.look()
    assert caplog.messages == [], "nothing is said of an empty log"
    first = act(parts)
    anchor.look()
    assert caplog.messages == []
    clock.forward(60)
    anchor.look()
    assert caplog.messages == [f"the audit log has 1 entries; the newest digest is {first}"]
    clock.forward(60)
    anchor.look()
    assert len(caplog.messages) == 1
    second = act(parts)
    clock.forward(60)
    anchor.look()
    assert caplog.messages[1:] == [f"the audit log has 2 entries; the newest digest is {second}"]
