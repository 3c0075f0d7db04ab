"""A client for Python apps: `for entry in FeedClient(url, token, "ledger"): …` reads the feed for ever.

It needs `requests` alone. Every entry is given at least once: a page is acknowledged when the caller's block has ended
well for its last entry, so what was under way when a process died comes again. Apps tell repeats by the entry's `id`.
"""

import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests

log = logging.getLogger(__name__)

WAIT_SECONDS = 25
"""How long one request waits for an entry; the server takes up to 30."""

NOT_SENDABLE = "the token or the consumer's name holds what can't be sent, such as the end of a line"

PAUSE_FIRST_SECONDS = 0.5
PAUSE_MAX_SECONDS = 60.0

SOON_SECONDS = 0.5
"""A page without entries that comes sooner was not waited for: no place was left among those who wait."""

UNSEATED_MAX_SECONDS = 5.0
"""The longest pause of a reader for whom no place is left, until it asks once more."""


TRANSIENT = (408, 429)
"""Refusals after which the same request may be taken: it came too slowly, or there were too many."""


class FeedRefused(Exception):
    """Asking once more can't help: the token, its scope, the consumer's name or the address is wrong.

    The receiver refused it (4xx), its certificate does not verify, or the request can't be sent as it is.
    """


@dataclass
class FeedClient:
    """Reads the feed as a named consumer; one process uses it at a time."""

    base_url: str
    """Where the receiver is, such as `https://receiver.example`."""
    token: str = field(repr=False)
    """An API token with the scope `feed:read`."""
    consumer: str
    limit: int = 100
    """Entries in a page, 1 to 1000: as many come again at the most after a crash."""
    sources: Collection[str] = ()
    """Names of sources: entries of others are passed over; empty for all."""
    types: Collection[str] = ()
    """Types, such as `bcb.deposit`: entries of others are passed over; empty for all."""
    sleep: Callable[[float], None] = time.sleep
    session: requests.Session = field(default_factory=requests.Session, repr=False)
    _seeks: int = field(default=0, init=False, repr=False)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield entries (CloudEvents 1.0 as dicts), oldest first, for ever; troubles are waited out, and logged.

        Raises:
            FeedRefused
        """
        acknowledged, pauses = None, _pauses(UNSEATED_MAX_SECONDS)
        while True:
            seeks, asked_when = self._seeks, time.monotonic()
            page = self._retrying("GET", "feed", {"limit": self.limit, "wait": WAIT_SECONDS}, _is_page)
            came_when = time.monotonic()
            for entry in filter(self._is_wanted, page["data"]):
                if self._seeks != seeks:
                    break
                yield entry
            # A page without entries too: it goes over what the token may not see, or what is for other consumers.
            if self._seeks == seeks and (page["data"] or page["next"] != acknowledged):
                self._retrying("POST", "ack", {"cursor": page["next"]}, _is_position)
                acknowledged = page["next"]
            if page["data"] or page["has_more"] or came_when - asked_when >= SOON_SECONDS:
                pauses = _pauses(UNSEATED_MAX_SECONDS)
            else:
                self.sleep(next(pauses))

    def _is_wanted(self, entry: Mapping[str, Any]) -> bool:
        # Here, not at the receiver: what is acknowledged is a position in the whole feed, whatever is passed over.
        source = str(entry.get("source")).rpartition("/")[2]
        return (not self.sources or source in self.sources) and (not self.types or entry.get("type") in self.types)

    def seek(self, to: str) -> None:
        """Move the consumer: to `beginning`, `end`, a cursor or a time (RFC 3339).

        Of the page that a loop is at nothing more is given: the next entry is the first behind the new place.

        Raises:
            FeedRefused
        """
        self._retrying("POST", "seek", {"to": to}, _is_position)
        self._seeks += 1

    def _retrying(
        self, method: str, what: str, given: Mapping[str, Any], is_ours: Callable[[Mapping[str, Any]], bool]
    ) -> dict[str, Any]:
        """Ask until the receiver answers, and not a proxy in its place, with pauses that double, up to a minute."""
        pauses, tries = _pauses(PAUSE_MAX_SECONDS), 0
        while True:
            tries, asked = tries + 1, ""
            try:
                answer = self._request(method, what, given)
                if answer.ok and (found := _object(answer)) is not None and is_ours(found):
                    return found
                why = f"{answer.status_code}: {answer.text[:300]}"
                if 400 <= answer.status_code < 500 and answer.status_code not in TRANSIENT:
                    raise FeedRefused(why)
                asked = answer.headers.get("Retry-After", "")
            except requests.RequestException as error:
                why = str(error)
            if tries.bit_count() == 1:  # The 1st, 2nd, 4th, 8th, … time.
                log.warning("%s waits for an answer of the receiver (tried %d times): %r", self.consumer, tries, why)
            # What has thousands of digits Python does not read as a number.
            self.sleep(max(next(pauses), min(int(asked[:100]), 60) if asked.isdecimal() else 0))

    def _request(self, method: str, what: str, given: Mapping[str, Any]) -> requests.Response:
        """Ask once.

        Raises:
            FeedRefused: there is nothing to wait for.
            requests.RequestException
        """
        try:
            answer = self._sent(method, what, given)
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise
            raise FeedRefused(str(error)) from error
        except ValueError as error:
            # Those of requests are about the address; what Python says of the header holds the token.
            why = str(error) if isinstance(error, requests.RequestException) else NOT_SENDABLE
            raise FeedRefused(why) from None
        if 300 <= answer.status_code < 400:
            where = answer.headers.get("Location", "nowhere")[:300]
            raise FeedRefused(f"{answer.status_code}: moved to {where}; no redirect is followed")
        return answer

    def _sent(self, method: str, what: str, given: Mapping[str, Any]) -> requests.Response:
        return self.session.request(
            method,
            f"{self.base_url.rstrip('/')}/api/v1/consumers/{quote(self.consumer, safe='')}/{what}",
            params=dict(given) if method == "GET" else None,
            json=dict(given) if method == "POST" else None,
            # As `auth`, not as a header: without an `auth`, requests puts one from ~/.netrc over the token.
            auth=self._authorize,
            # A redirect would carry the token to wherever it points, and look into ~/.netrc once more.
            allow_redirects=False,
            timeout=(5, WAIT_SECONDS + 15),
        )

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _object(answer: requests.Response) -> dict[str, Any] | None:
    """Return what is answered; none where it is no object of JSON, such as the page of a proxy."""
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _is_page(found: Mapping[str, Any]) -> bool:
    """Tell whether an object is a page of the feed."""
    entries = found.get("data")
    are_entries = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    return are_entries and isinstance(found.get("next"), str) and isinstance(found.get("has_more"), bool)


def _is_position(found: Mapping[str, Any]) -> bool:
    """Tell whether an object says where the consumer stands."""
    return isinstance(found.get("cursor"), str)


def _pauses(longest: float) -> Iterator[float]:
    """Yield pauses that double, of half to full length so that not all who wait come at once."""
    pause = PAUSE_FIRST_SECONDS
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311
        pause = min(pause * 2, longest)
