"""The audit log by who, what and when: the same entries as are in it, in its order, from an index."""

from datetime import timedelta

import pytest
from conftest import StandingClock
from sqlalchemy import text

from receiver.runtime import Runtime
from receiver.store import audit
from receiver.store.audit import AuditFilter, AuditRecord

WHATS = ("secret.set", "secret.expired", "staff.added", "token.created")


@pytest.fixture
def entries(parts: Runtime, clock: StandingClock) -> list[AuditRecord]:
    """Forty entries, a minute apart, the newest first."""
    for number in range(40):
        with parts.database.write() as connection:
            audit.write(
                connection,
                parts.encryption,
                at=clock(),
                who=f"cli:{number % 3}",
                what=WHATS[number % 4],
                about={"number": number},
            )
        clock.forward(60)
    with parts.database.read() as connection:
        return audit.listing(connection, limit=100)


def test_a_filter_lets_through_what_fits_page_by_page(parts: Runtime, entries: list[AuditRecord]) -> None:
    first, last = entries[-1].at, entries[0].at
    filters = [
        AuditFilter(),
        AuditFilter(who="cli:1"),
        AuditFilter(what="secret.set"),
        AuditFilter(what="secret."),
        AuditFilter(who="cli:2", what="s"),
        AuditFilter(who="cli:2", what="secret.", after=first + timedelta(minutes=7), before=last),
        AuditFilter(after=last),
        AuditFilter(after=last + timedelta(seconds=1)),
        AuditFilter(before=first),
    ]
    for only in filters:
        expected = [entry for entry in entries if fits(entry, only)]
        found: list[AuditRecord] = []
        with parts.database.read() as connection:
            while page := audit.listing(connection, below=found[-1].id if found else None, limit=3, only=only):
                found += page
        assert found == expected, only


def fits(entry: AuditRecord, only: AuditFilter) -> bool:
    is_what = only.what is None or (
        entry.what.startswith(only.what) if only.what.endswith(".") else entry.what == only.what
    )
    return (
        is_what
        and (only.who is None or entry.who == only.who)
        and (only.after is None or entry.at >= only.after)
        and (only.before is None or entry.at < only.before)
    )


@pytest.mark.usefixtures("entries")
def test_the_words_are_found_each_once(parts: Runtime) -> None:
    with parts.database.read() as connection:
        assert audit.words(connection) == sorted(WHATS)
        if parts.database.is_sqlite:
            query = (
                "EXPLAIN QUERY PLAN SELECT * FROM audit_entries WHERE what = 'x' AND id < 9 ORDER BY id DESC LIMIT 3"
            )
            plan = " ".join(str(row) for row in connection.execute(text(query)))
            assert "ix_audit_entries_what" in plan
            assert "TEMP B-TREE" not in plan
