"""Walking over the keys of events, newest first: block by block, so that the cost is that of what is found.

What is asked for may begin like nearly every key there is, or like none. An index over keys alone would have to sort
all that fits to tell the newest; one over time alone would pass over all that does not fit. In each block of positions
there are few enough to be sorted, and to look into a block in vain costs one descent for each of the facets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select, union_all

from receiver.store.pagination import among
from receiver.store.search_terms import Range
from receiver.store.tables import SearchKey, table_of

_keys = table_of(SearchKey)

READ_MAX = 2000
"""Keys that are read at once; where there are more, fewer blocks are read, down to one."""

BLOCKS_MAX = 64
"""Blocks that are read at once."""

SAMPLED = 8
"""Blocks in which is counted how often something comes."""


@dataclass(frozen=True)
class Span:
    """Where to look: in these blocks, newest first, for these facets; at positions from `least` on, below `below`."""

    blocks: Sequence[int]
    facets: Sequence[int]
    least: int
    below: int


def rarest(connection: Connection, span: Span, leads: Sequence[tuple[Range, ...]]) -> tuple[Range, ...]:
    """Return the ranges of which the fewest keys are, by a few of the blocks."""
    if len(leads) == 1:
        return leads[0]
    step = max(1, len(span.blocks) // SAMPLED)
    sampled = span.blocks[::step]

    def number(lead: tuple[Range, ...]) -> int:
        keys = _keys_in(connection, span, sampled, lead).limit(READ_MAX).subquery()
        found: int = connection.execute(select(func.count()).select_from(keys)).scalar_one()
        return found

    return min(leads, key=number)


def walk(connection: Connection, span: Span, lead: tuple[Range, ...]) -> Iterator[int]:
    """Go through the positions that have a key in one of the ranges, newest first.

    Where few have, more blocks are read at a time; where many have, each is read for itself.
    """
    start, number = 0, 1
    while start < len(span.blocks):
        blocks = span.blocks[start : start + number]
        query = _keys_in(connection, span, blocks, lead)
        read = connection.execute(query if number == 1 else query.limit(READ_MAX + 1)).scalars().all()
        if len(read) > READ_MAX and number > 1:
            number = 1
            continue
        yield from sorted(set(read), reverse=True)
        start += number
        number = min(2 * number, BLOCKS_MAX) if len(read) < READ_MAX else 1


def _keys_in(connection: Connection, span: Span, blocks: Sequence[int], ranges: Sequence[Range]) -> Select[Any]:
    """Select the positions in some blocks that have a key in one of the ranges."""
    parts = [
        select(_keys.c.position).where(
            among(connection, _keys.c.block, blocks),
            among(connection, _keys.c.facets_id, span.facets),
            _keys.c.term >= one.low,
            _keys.c.term < one.high,
            _keys.c.position >= span.least,
            _keys.c.position < span.below,
        )
        for one in ranges
    ]
    return parts[0] if len(parts) == 1 else select(union_all(*parts).subquery().c.position)
