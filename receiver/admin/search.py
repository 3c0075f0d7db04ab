"""Finding events, and deliveries that were not accepted, by whatever a person knows of them.

Pages, API and command line search by this.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from receiver.feed.cursors import CursorInvalid
from receiver.projection.projector import index_all
from receiver.runtime import Runtime
from receiver.store import deliveries, events, search, search_index, search_terms
from receiver.store.deliveries import DeliveryRecord, Listed
from receiver.store.events import EventRecord, Filter
from receiver.store.late import HeldRecord
from receiver.store.payments import EACH_ITEM, CheckRecord
from receiver.store.search import Wanted
from receiver.store.thread_pool import give_way

LISTED = frozenset({"source", "type", "payment_id", "event_id", "late", "received_after", "received_before"})
"""What the list of events itself is filtered by: it needs no index, and so is whole while one is made."""

PAGE_MAX = 1000

POSITION_DIGITS_MAX = 18
"""Both databases take whole numbers of so many."""

SEARCHED_AT_ONCE = 50
"""Deliveries whose bodies are searched at a time: those of late ones are stored whole."""


@dataclass(frozen=True)
class Found:
    """Events, newest first; from which place to go on, if there may be more; and how far the index is behind.

    There may be fewer than asked for though there are more: the search ends where it has looked at many in vain.
    """

    events: Sequence[EventRecord]
    place: str | None
    older_left: int = 0
    """About how many events of before the upgrade are not indexed yet, and were not searched."""


def find_events(
    runtime: Runtime, wanted: Wanted, *, place: str | None, limit: int, spares_private: bool = False
) -> Found:
    """Return up to `limit` events; `place` is the one to go on from. Each event that was answered for is among them.

    With `spares_private`, for who may not read them, accounts and words of texts are found as a whole alone.

    Raises:
        CursorInvalid: the place stems from a list with other filters.
        StoreUnavailable
    """
    if place is not None and is_search(wanted) != (place.isdecimal() and len(place) <= POSITION_DIGITS_MAX):
        raise CursorInvalid
    if is_search(wanted):
        return _searched(runtime, wanted, place, limit, spares_private)
    return _listed(runtime, wanted, place, limit)


def is_search(wanted: Wanted) -> bool:
    """Tell whether finding these events takes the index: the list of events itself has few filters."""
    asked = {name for name, value in asdict(wanted).items() if value not in ("", (), [], None)}
    return not asked <= LISTED


def _listed(runtime: Runtime, wanted: Wanted, place: str | None, limit: int) -> Found:
    chosen = Filter(
        sources=wanted.source,
        types=wanted.type,
        payment_ids=wanted.payment_id,
        event_ids=wanted.event_id,
        late=wanted.late,
        received_after=wanted.received_after,
        received_before=wanted.received_before,
    )
    with runtime.database.read() as connection:
        # One more than asked for tells whether there are more, without counting them.
        found = events.listing(connection, chosen, below=place, limit=limit + 1)
    return Found(found[:limit], found[limit - 1].id if len(found) > limit else None)


def _searched(runtime: Runtime, wanted: Wanted, place: str | None, limit: int, spares_private: bool) -> Found:
    # What was answered for before is indexed by now, whoever wrote it.
    index_all(runtime.database)
    below = None if place is None else int(place)
    with runtime.database.read() as connection:
        page = search.page(connection, wanted, below=below, limit=limit, spares_private=spares_private)
        older_left = search_index.older_left(connection)
    return Found(page.events, None if page.below is None else str(page.below), older_left)


def pages(runtime: Runtime, wanted: Wanted, *, limit: int, spares_private: bool = False) -> Iterator[Found]:
    """Go through up to `limit` events, page by page; no transaction is open between two pages.

    `spares_private` as in `find_events`.

    Raises:
        StoreUnavailable
    """
    place: str | None = None
    while limit > 0:
        page = find_events(runtime, wanted, place=place, limit=min(limit, PAGE_MAX), spares_private=spares_private)
        yield page
        place, limit = page.place, limit - len(page.events)
        if place is None:
            return


def older_left(runtime: Runtime, wanted: Wanted) -> int:
    """Return about how many events of before the upgrade such a search does not look at yet; 0 where it needs no index.

    Raises:
        StoreUnavailable
    """
    if not is_search(wanted):
        return 0
    with runtime.database.read() as connection:
        return search_index.older_left(connection)


def masked(event: EventRecord, *, with_texts: bool = True) -> EventRecord:
    """Return an event as lists show it: of accounts the last four characters; without texts, of these nothing."""
    facts: dict[str, Any] = search_terms.masked_facts(event.facts, with_texts=with_texts)
    return event._replace(facts=facts, subject=search_terms.masked_subject(event.subject, event.facts))


def masked_held(held: HeldRecord) -> HeldRecord:
    """Return one thing that a late delivery tells as lists show events, masked where it is about an account."""
    return held._replace(subject=search_terms.masked_subject(held.subject, held.event["facts"]))


def detail(check: CheckRecord) -> dict[str, Any]:
    """Return what a check has brought, without the items of a job."""
    return {name: value for name, value in check.detail.items() if name != EACH_ITEM}


def masked_detail(check: CheckRecord) -> dict[str, Any]:
    """Return what a check has brought, without the items of a job, accounts and texts masked as in events."""
    found: dict[str, Any] = search_terms.masked_facts(detail(check), with_texts=False)
    return found


def find_deliveries(
    runtime: Runtime,
    wanted: Listed,
    *,
    contains: str = "",
    in_bodies: bool = True,
    below: str | None = None,
    limit: int,
) -> list[DeliveryRecord]:
    """Return late and rejected deliveries, newest first; `below` is the id to go on from.

    `contains` is a text that stands in the id, the sender's address, the body's digest, the path, a header, the detail
    or, with `in_bodies`, the body, whatever the case of its letters. There is no index for it: it reads what is kept,
    part by part, and gives way to others in between. Who may not read payloads is not to search in them either: letter
    by letter that comes to the same.

    Raises:
        StoreUnavailable
    """
    found: list[DeliveryRecord] = []
    while len(found) < limit:
        with runtime.database.read() as connection:
            rows = deliveries.listing(connection, wanted, below=below, limit=SEARCHED_AT_ONCE if contains else limit)
        found += [row for row in rows if not contains or _contains(row, contains, in_bodies)]
        if len(rows) < SEARCHED_AT_ONCE or not contains:
            break
        below = rows[-1].id
        give_way()
    return found[:limit]


def _contains(row: DeliveryRecord, text: str, in_bodies: bool) -> bool:
    body = (row.body or b"").decode("utf-8", "replace") if in_bodies else ""
    headers = (part for header in row.headers.items() for part in header)
    own = (row.id, row.peer, row.body_sha256, row.path, row.detail or "")
    return any(text.casefold() in place.casefold() for place in (body, *own, *headers))
