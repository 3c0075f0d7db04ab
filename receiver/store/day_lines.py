"""The lines of a closed day as they are stored and bound: JSON, a line each, compressed some hundred at a time.

A section is all lines of one category. Its digest is the SHA-256 of their bytes, each line with its end, in their
order; so whoever has the lines can make it with any tool.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from receiver.model import Agreement, DayCategory, Status

LINES_IN_CHUNK = 500

LEVEL = 6
"""Of zlib: higher takes twice as long for a few hundredths."""

_write = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(slots=True)
class DayLine:
    """One line of a day; what is not known is none. `amount` is the bank's, without a sign; times are UTC."""

    category: DayCategory
    list_name: str | None = None
    """Which of the bank's lists has it; none where none has."""
    type: str | None = None
    payment_id: str | None = None
    reference: str | None = None
    account: str | None = None
    direction: str | None = None
    amount: str | None = None
    currency: str | None = None
    bank_status: str | None = None
    status: Status | None = None
    """What the bank's word on the line is in ours."""
    at: datetime | None = None
    """The bank's own time of it."""
    event_id: str | None = None
    our_amount: str | None = None
    """What the event tells."""
    our_currency: str | None = None
    claimed_status: Status | None = None
    our_status: Status | None = None
    """What checks at the bank have found."""
    agreement: Agreement | None = None
    received_at: datetime | None = None
    """When the callback came; none where none did."""
    detection_seconds: float | None = None
    """From the bank's time to the callback."""
    why: str | None = None
    """In words, where something differs."""


COLUMNS = tuple(field.name for field in fields(DayLine))

_TIMES = ("at", "received_at")


def written(line: DayLine) -> bytes:
    """Return the bytes of a line that are stored and bound, with its end; what is none is left out."""
    found = {name: _text(value) for name in COLUMNS if (value := getattr(line, name)) is not None}
    return f"{_write(found)}\n".encode()


def written_fields(fields: dict[str, Any]) -> bytes:
    """Return the bytes of a line whose JSON was read elsewhere."""
    return f"{_write(fields)}\n".encode()


def _text(value: Any) -> Any:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z") if isinstance(value, datetime) else value


def read(content: bytes) -> DayLine:
    """Return a line from its bytes.

    Raises:
        ValueError
        TypeError
    """
    found: dict[str, Any] = json.loads(content)
    for name in _TIMES:
        if name in found:
            found[name] = datetime.fromisoformat(found[name])
    return DayLine(**found)


class Chunk(NamedTuple):
    """Some lines of one category; `first` is which of the category's lines is the first one here, from 0."""

    category: DayCategory
    first: int
    number: int
    content: bytes

    def lines(self) -> list[bytes]:
        """Return the lines' bytes, each with its end.

        Raises:
            ValueError: the content is not what was stored.
        """
        return split(self.content)


def split(content: bytes) -> list[bytes]:
    """Return the lines in a chunk's content, each with its end.

    Raises:
        ValueError: it is not what was stored.
    """
    try:
        return zlib.decompress(content).splitlines(keepends=True)
    except zlib.error as error:
        raise ValueError(f"{error}") from error


def packed(lines: Iterable[bytes]) -> bytes:
    """Return a chunk's content."""
    return zlib.compress(b"".join(lines), LEVEL)


class Section(NamedTuple):
    """All lines of one category: how many there are, and their digest."""

    category: DayCategory
    number: int
    sha256: str


class Sections:
    """Takes lines as they come, and makes chunks and sections of them; holds no more than the chunks, compressed."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self._waiting: dict[DayCategory, list[bytes]] = {category: [] for category in DayCategory}
        self._digests = {category: hashlib.sha256() for category in DayCategory}
        self._numbers = dict.fromkeys(DayCategory, 0)

    def add(self, line: DayLine) -> None:
        """Take a line."""
        content = written(line)
        self._digests[line.category].update(content)
        self._numbers[line.category] += 1
        waiting = self._waiting[line.category]
        waiting.append(content)
        if len(waiting) == LINES_IN_CHUNK:
            self._pack(line.category)

    def _pack(self, category: DayCategory) -> None:
        waiting = self._waiting[category]
        first = self._numbers[category] - len(waiting)
        self.chunks.append(Chunk(category, first, len(waiting), packed(waiting)))
        waiting.clear()

    def end(self) -> Sequence[Section]:
        """Pack what is left, and return the sections that have lines."""
        for category, waiting in self._waiting.items():
            if waiting:
                self._pack(category)
        return [
            Section(category, number, self._digests[category].hexdigest())
            for category, number in self._numbers.items()
            if number
        ]


def sections_of(lines: Iterable[tuple[DayCategory, bytes]]) -> Iterator[Section]:
    """Return the sections of lines that come category by category."""
    category: DayCategory | None = None
    digest, number = hashlib.sha256(), 0
    for each, content in lines:
        if each != category:
            if category is not None:
                yield Section(category, number, digest.hexdigest())
            category, digest, number = each, hashlib.sha256(), 0
        digest.update(content)
        number += 1
    if category is not None:
        yield Section(category, number, digest.hexdigest())
