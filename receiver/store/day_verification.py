"""Whether closed days are as they were closed: in the database, and in a file that was exported."""

import hmac
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection

from receiver.model import DayCategory, ReceiverError
from receiver.store import days
from receiver.store.day_lines import Chunk, Section, sections_of, written_fields
from receiver.store.days import PURPOSE, DayRecord, canonical
from receiver.store.digest_keys import DigestKeys
from receiver.store.encryption import Encryption
from receiver.store.thread_pool import give_way

LINES_FOLLOW = '"lines":['
"""How the first line of a file ends: each further one holds a line of the day, the last one `]}`."""


class DayFileWrong(ReceiverError):
    """A file is not what an export of a closed day is."""


class Fault(NamedTuple):
    """Something that does not fit; `version` is none where it is about all days of a source."""

    source_id: int
    day: date | None
    version: int | None
    words: str


def faults(connection: Connection, encryption: Encryption, source_id: int, only: date | None = None) -> Iterator[Fault]:
    """Yield what does not fit of a source's closed days: of all, or of one day; in the order of all in any case.

    Raises:
        DecryptionFailed: none of RECEIVER_SECRET_KEYS opens a key that digests are made with.
    """
    keys = DigestKeys(connection, encryption, PURPOSE)
    records = days.written(connection, source_id)
    digests = {(record.day.isoformat(), record.version, record.digest) for record in records}
    before = ""
    for record in records:
        # What was taken out shows at its neighbour or at the head, whatever the day: both are looked at each time.
        found = [*_of_order(record, before)]
        if only is None or record.day == only:
            found = [*_of_version(connection, keys, record, digests), *found]
        yield from (Fault(source_id, record.day, record.version, words) for words in found)
        before = record.digest
    if not days.head_is_right(connection, keys, source_id, (len(records), before)):
        words = f"{len(records)} versions are there, and the head says otherwise: the newest was taken out or put in"
        yield Fault(source_id, None, None, words)


def _of_version(
    connection: Connection, keys: DigestKeys, record: DayRecord, digests: set[tuple[str, int, str]]
) -> Iterator[str]:
    header = record.header
    its_place = (record.source_id, record.day.isoformat(), record.version, record.closed_at.isoformat())
    said = tuple(header.get(name) for name in ("source_id", "day", "version", "closed_at"))
    if its_place != said:
        yield f"it stands in the place of another: it is the day {said[1]}, version {said[2]}"
    if not keys.knows(str(header.get("key"))):
        yield f"it is made with the key {header.get('key')!r}, which is not stored"
        return
    if not _same(keys.mac(header["key"], days.signed(header)), record.digest):
        yield "its counts, sums, or what binds it, were changed"
        return
    yield from _of_sections(record.sections, days.every_chunk(connection, record.id))
    day_before = header.get("day_before")
    if day_before is not None and tuple(day_before) not in digests:
        yield f"the day before it, {day_before[0]} in version {day_before[1]}, is not there as it was then"


def _of_order(record: DayRecord, before: str) -> Iterator[str]:
    if (record.header.get("written_before") or "") != before:
        yield "the version that was written before it was taken out, exchanged or put in"


def _of_sections(expected: Sequence[Section], stored: Iterator[Chunk]) -> Iterator[str]:
    misplaced: set[DayCategory] = set()
    try:
        found = {section.category: section for section in sections_of(_lines_in_place(stored, misplaced))}
    except ValueError as error:
        yield f"its lines can't be read: {error}"
        return
    yield from differences(expected, found)
    # A line that was cut out or put in moves those behind it: that is said already.
    as_written = {section.category for section in expected if found.get(section.category) == section}
    for category in sorted(as_written & misplaced):
        yield f"where lines of {_words(category)} stand was changed: some are shown twice, or not at all"


def _lines_in_place(stored: Iterable[Chunk], misplaced: set[DayCategory]) -> Iterator[tuple[DayCategory, bytes]]:
    """Yield the lines, and note categories of which a chunk says otherwise where it stands: by that they are shown."""
    numbers = dict.fromkeys(DayCategory, 0)
    for chunk in stored:
        give_way()
        lines = chunk.lines()
        if (chunk.first, chunk.number) != (numbers[chunk.category], len(lines)):
            misplaced.add(chunk.category)
        numbers[chunk.category] += len(lines)
        yield from ((chunk.category, line) for line in lines)


def _lines_of(stored: Iterable[Chunk]) -> Iterator[tuple[DayCategory, bytes]]:
    for chunk in stored:
        give_way()
        yield from ((chunk.category, line) for line in chunk.lines())


def differences(expected: Sequence[Section], found: Mapping[DayCategory, Section]) -> Iterator[str]:
    """Yield in words where the lines that are there are not those that a version was closed with."""
    written = {section.category: section for section in expected}
    for category in DayCategory:
        before, now = written.get(category), found.get(category)
        if before == now:
            continue
        numbers = (before.number if before else 0, now.number if now else 0)
        words = _words(category)
        if numbers[0] == numbers[1]:
            yield f"a line of {words} was changed, or moved"
        else:
            yield f"{numbers[0]} lines of {words} were written, and {numbers[1]} are there"


def _words(category: DayCategory) -> str:
    return category.replace("_", " ")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


# A file


def exported(header: Mapping[str, Any], digest: str | None, stored: Iterable[Chunk]) -> Iterator[str]:
    """Write a day as one JSON document, each of its lines on a line of text of its own."""
    yield f'{{"header":{canonical(header).decode()},"digest":{json.dumps(digest)},{LINES_FOLLOW}\n'
    before = ""
    for _, content in _lines_of(stored):
        yield f"{before}{content.decode().removesuffix(chr(10))}"
        before = ",\n"
    yield "\n]}\n" if before else "]}\n"


class DayFile(NamedTuple):
    """What a file holds; its lines are read as they are asked for."""

    header: dict[str, Any]
    digest: str | None
    """None where the day was not closed."""
    lines: Iterator[tuple[DayCategory, bytes]]


def read_file(text: Iterable[str]) -> DayFile:
    """Read an export, line by line; or whole, where a program has written its JSON in another way.

    Raises:
        DayFileWrong: so does going through its lines.
    """
    rest = iter(text)
    first = next(rest, "")
    try:
        if first.rstrip().endswith(LINES_FOLLOW):
            found = _parsed(f"{first}]}}")
            return DayFile(dict(found["header"]), _digest_in(found), _each(rest))
        found = _parsed("".join(chain([first], rest)))
        lines = ((DayCategory(line["category"]), written_fields(line)) for line in found["lines"])
        return DayFile(dict(found["header"]), _digest_in(found), iter(list(lines)))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DayFileWrong("it is not what `receiver days show --json` writes, or was cut short") from error


def _digest_in(found: Mapping[str, Any]) -> str | None:
    return None if found["digest"] is None else str(found["digest"])


def _each(rest: Iterator[str]) -> Iterator[tuple[DayCategory, bytes]]:
    for line in rest:
        text = line.strip()
        if text == "]}":
            return
        text = text.removesuffix(",")
        try:
            category = DayCategory(_parsed(text)["category"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DayFileWrong(f"this is no line of a day: {text[:80]!r}") from error
        yield category, f"{text}\n".encode()
    raise DayFileWrong("it ends before its lines do: it was cut short")


def _parsed(text: str) -> dict[str, Any]:
    found = json.loads(text, object_pairs_hook=_as_written)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found


def _as_written(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object as digests are made over it, and refuse a name that stands twice: a reader may see the other."""
    made = {name: _second(value) if name.endswith("_seconds") else value for name, value in pairs}
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


def _second(value: Any) -> Any:
    """Return seconds as digests are made over them: jq and JavaScript write 2.0 as 2; what is too large is no time."""
    return float(value) if type(value) is int and abs(value) < 1 << 53 else value


def of_file(file: DayFile, mac: Callable[[bytes], str]) -> list[str]:
    """Return in words what does not fit of a file; `mac` makes digests with its key.

    Raises:
        DayFileWrong
    """
    if not _same(mac(days.signed(file.header)), file.digest or ""):
        return ["its counts, sums, or what binds it, were changed"]
    expected = [Section(DayCategory(name), number, sha256) for name, number, sha256 in file.header["sections"]]
    found = list(sections_of(file.lines))
    if len({section.category for section in found}) != len(found):
        return ["its lines are not in their order"]
    return list(differences(expected, {section.category: section for section in found}))
