"""Pagination as the bank does it: `pageStart`, `pageSize`, `pageToken`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.simulator.bcb.refusals import BankRefusal

SIZE_DEFAULT = 100
SIZE_MAX = 1000


@dataclass(frozen=True)
class Page:
    """The page asked for: its number from 1, and how many entries it holds."""

    number: int
    size: int

    def of(self, entries: Sequence[object]) -> dict[str, object]:
        """Cut the page out of `entries` and wrap it up.

        The token holds a comma, as the bank's do, and stands for the size and the next page; the last page has none.
        """
        first = (self.number - 1) * self.size
        more = first + self.size < len(entries)
        return {
            "meta": {
                "pagination": {
                    "page_start": self.number,
                    "page_size": self.size,
                    "total_size": len(entries),
                    "page_token": f"{self.size},{self.number + 1}" if more else None,
                }
            },
            "data": list(entries[first : first + self.size]),
        }


def read(query: Mapping[str, str]) -> Page:
    """Return the page that a query string asks for; with a token, `pageStart` may name another page than the next.

    Raises:
        BankRefusal: 400 for numbers out of range, a token that is not ours, or a `pageSize` beside a token.
    """
    token = query.get("pageToken")
    if token is None:
        return Page(_whole(query, "pageStart", 1, 10**9), _whole(query, "pageSize", SIZE_DEFAULT, SIZE_MAX))
    if "pageSize" in query:
        raise BankRefusal(400, "Bad request", "pageSize must not be sent together with pageToken")
    size, comma, number = token.partition(",")
    if not (comma and _is_whole(size, SIZE_MAX) and _is_whole(number, 10**9)):
        raise BankRefusal(400, "Bad request", "Invalid pageToken")
    return Page(_whole(query, "pageStart", int(number), 10**9), int(size))


def _whole(query: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = query.get(name, str(default))
    if not _is_whole(text, highest):
        raise BankRefusal(400, "Bad request", f"{name} must be a whole number from 1 to {highest}")
    return int(text)


def _is_whole(text: str, highest: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= highest
