"""The lines of a business day, for people: some of them, all one by one, or as they are stored."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from receiver.admin.days import Day
from receiver.model import DayCategory, NotPossible
from receiver.runtime import Runtime
from receiver.store import days, search_terms
from receiver.store.day_lines import Chunk, DayLine, read
from receiver.store.days import CHUNKS_AT_ONCE
from receiver.store.thread_pool import give_way

LINES_AT_ONCE = 1000


def masked(line: DayLine) -> DayLine:
    """Return a line as lists show it: of its account, which may be its list's name too, the last four characters."""
    account, name = line.account, line.list_name
    return replace(
        line,
        account=search_terms.masked(account) if account else account,
        list_name=search_terms.masked_list(name) if name else name,
    )


def lines(
    runtime: Runtime, found: Day, categories: Sequence[DayCategory] = (), *, place: int = 0, limit: int
) -> list[DayLine]:
    """Return lines of a day in the order of the categories, of all or of some; `place` is how many to pass over.

    Raises:
        NotPossible: what is stored is not what was written.
        StoreUnavailable
    """
    rows: list[DayLine] = []
    for name, number, _ in found.content.get("sections", ()):
        category = DayCategory(name)
        if (categories and category not in categories) or len(rows) == limit:
            continue
        if place >= number:
            place -= number
            continue
        rows += _of_category(runtime, found, category, place, limit - len(rows))
        place = 0
    return rows


def _of_category(runtime: Runtime, found: Day, category: DayCategory, place: int, limit: int) -> list[DayLine]:
    rows: list[DayLine] = []
    for chunk in chunks_of(runtime, found, category, place):
        try:
            contents = chunk.lines()[max(place - chunk.first, 0) :]
            rows += [read(content) for content in contents[: limit - len(rows)]]
        except (ValueError, TypeError) as error:
            raise NotPossible("its lines are not what was written: run `receiver days verify`") from error
        if len(rows) == limit:
            break
    return rows


def chunks_of(runtime: Runtime, found: Day, category: DayCategory, place: int) -> Iterator[Chunk]:
    """Go through the chunks of a category from the one on that has the line `place`, some in each transaction."""
    if found.record is None:
        stored = found.compared.chunks if found.compared else ()
        yield from (each for each in stored if each.category == category and each.first + each.number > place)
        return
    while True:
        with runtime.database.read() as connection:
            some = days.chunks(connection, found.record.id, category, through=place, limit=CHUNKS_AT_ONCE)
        if not some:
            return
        for chunk in some:
            yield chunk
            give_way()
        place = some[-1].first + some[-1].number


def every_line(runtime: Runtime, found: Day, categories: Sequence[DayCategory] = ()) -> Iterator[DayLine]:
    """Go through all lines of a day, or of some categories.

    Raises:
        NotPossible: what is stored is not what was written.
        StoreUnavailable
    """
    place = 0
    while rows := lines(runtime, found, categories, place=place, limit=LINES_AT_ONCE):
        yield from rows
        place += len(rows)
        give_way()
