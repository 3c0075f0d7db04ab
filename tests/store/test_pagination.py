"""Filters by several values: what a reader gets is what a plain list, filtered, would give."""

from typing import Any

import pytest
from conftest import add_source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from receiver.runtime import Runtime
from receiver.store import feed, pagination
from receiver.store.feed import Wanted
from receiver.store.tables import FeedEntry, FeedHead, table_of

_entries, _head = table_of(FeedEntry), table_of(FeedHead)

SOURCES = ("bcb", "other", "third")
TYPES = ("t.a", "t.b", "t.c")

lines = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(TYPES), st.sampled_from([None, None, "ledger", "else"])),
    max_size=40,
)


@pytest.fixture
def numbers(parts: Runtime) -> dict[str, int]:
    """The sources' numbers by their names."""
    return {name: add_source(parts, name, secret=None).id for name in SOURCES}


def fill(parts: Runtime, numbers: dict[str, int], log: list[tuple[str, str, str | None]]) -> None:
    with parts.database.write() as connection:
        connection.execute(delete(_entries))
        connection.execute(update(_head).values(position=len(log)))
        rows: list[dict[str, Any]] = [
            {
                "position": position,
                "outbox_id": position,
                "type": kind,
                "source_id": numbers[source],
                "time": parts.clock(),
                "data": {},
                "consumer": consumer,
            }
            for position, (source, kind, consumer) in enumerate(log, 1)
        ]
        if rows:
            connection.execute(insert(_entries), rows)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    log=lines,
    wanted_sources=st.lists(st.sampled_from((*SOURCES, "unknown")), max_size=4),
    wanted_types=st.lists(st.sampled_from((*TYPES, "t.unknown")), max_size=4),
    reader=st.sampled_from([None, "ledger"]),
    limit=st.integers(1, 9),
    after=st.integers(0, 45),
    parts_max=st.sampled_from([pagination.PARTS_MAX, 3]),
)
def test_following_the_pages_gives_what_a_filtered_list_holds(
    parts: Runtime,
    numbers: dict[str, int],
    log: list[tuple[str, str, str | None]],
    wanted_sources: list[str],
    wanted_types: list[str],
    reader: str | None,
    limit: int,
    after: int,
    parts_max: int,
) -> None:
    fill(parts, numbers, log)
    wanted = Wanted(wanted_sources, wanted_types, reader)
    expected = [
        position
        for position, (source, kind, consumer) in enumerate(log, 1)
        if position > after
        and (not wanted_sources or source in wanted_sources)
        and (not wanted_types or kind in wanted_types)
        and consumer in (None, reader)
    ]
    seen: list[int] = []
    place = after
    with pytest.MonkeyPatch.context() as patch, parts.database.read() as connection:
        patch.setattr(pagination, "PARTS_MAX", parts_max)
        while True:
            page = feed.read(connection, after=place, limit=limit, wanted=wanted)
            assert len(page.entries) <= limit
            assert page.through >= place
            seen += [entry.position for entry in page.entries]
            place = page.through
            if not page.has_more:
                break
            assert len(page.entries) == limit
    assert seen == expected
    # All that was asked for is found: the next look begins where the log ended.
    assert place == max(after, len(log))


def test_ways_never_are_more_than_fit_one_statement() -> None:
    few = pagination.combinations((_entries.c.source_id, [1, 2]), (_entries.c.type, ["a", "b", "a"]))
    assert len(few) == 4
    many = pagination.combinations((_entries.c.source_id, range(30)), (_entries.c.type, [str(n) for n in range(30)]))
    assert len(many) <= pagination.PARTS_MAX
    assert pagination.combinations((_entries.c.source_id, []), (_entries.c.type, [])) == [[]]


def test_a_reader_may_name_a_thousand_types(parts: Runtime, numbers: dict[str, int]) -> None:
    fill(parts, numbers, [("bcb", "t.a", None), ("other", "t.b", None), ("bcb", "t.b", None)])
    wanted = Wanted(SOURCES, [*(f"t.{number}" for number in range(1000)), "t.b"])
    with parts.database.read() as connection:
        page = feed.read(connection, after=0, limit=10, wanted=wanted)
    assert [entry.position for entry in page.entries] == [2, 3]
