"""Events that were told with other content too (conflicts): those in which the contents differ in money.

Two deposits may be among them that an earlier release took for one, because what it could not read counted as empty.
The contents of one are laid side by side, each value by its place.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection

from receiver import banks
from receiver.banks.callback import Claim, Profile, Proof
from receiver.banks.json_values import shortest_decimal_text
from receiver.banks.protocol import Bank, KeysNotKnown
from receiver.inbox.reverify import callback_of
from receiver.inbox.source_cache import whole_profile
from receiver.inbox.verification import digest_of
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import deliveries, events, sources
from receiver.store.deliveries import DeliveryRecord
from receiver.store.events import EventRecord

log = logging.getLogger(__name__)

EVENTS_MAX = 200
"""The newest ones are looked into ..."""

DELIVERIES_MAX = 10
"""... and of each the first so many that said something else, ..."""

BYTES_MAX = 64 * 1024 * 1024
"""... until their bodies come to so much: each is read whole."""


@dataclass(frozen=True)
class Content:
    """What one delivery says of an event's money."""

    delivery_id: str
    money: str
    """In words: `1000 USD on 1046406142`."""
    identity: bytes
    """By which it would be deduplicated today."""


@dataclass(frozen=True)
class Conflict:
    """An event whose contents differ in money; each that differs once."""

    event: EventRecord
    contents: Sequence[Content]

    @property
    def are_two(self) -> bool:
        """Whether its contents would be told as events of their own today."""
        return len({content.identity for content in self.contents}) > 1


@dataclass
class Conflicts:
    """What was found among the events with a conflict."""

    looked_at: int = 0
    unreadable: int = 0
    """Events of which one content can't be read any more, the key being gone, or was not, there being too much."""
    has_more: bool = False
    """Whether there are older ones that were not looked at."""
    in_money: list[Conflict] = field(default_factory=list)


def look(runtime: Runtime) -> Conflicts:
    """Look into the newest events with a conflict, within bounds.

    Raises:
        StoreUnavailable
        DecryptionFailed
    """
    with runtime.database.read() as connection:
        listed = events.conflicting(connection, limit=EVENTS_MAX + 1)
    found = Conflicts(has_more=len(listed) > EVENTS_MAX)
    profiles: dict[str, tuple[Bank, Profile]] = {}
    bytes_left = BYTES_MAX
    for event in listed[:EVENTS_MAX]:
        found.looked_at += 1
        with runtime.database.read() as connection:
            if event.source not in profiles:
                try:
                    profiles[event.source] = _profile(connection, runtime, event.source)
                except banks.BankNotKnown:
                    found.unreadable += 1
                    continue
            bodies = list(_deliveries(connection, event, bytes_left))
            identity = events.identity_of(connection, event.id)
        bytes_left -= sum(row.body_bytes for row in bodies)
        contents = [_contents(row, event, identity, *profiles[event.source]) for row in bodies]
        found.unreadable += len(bodies) == 0 or not all(contents)
        # By what it says: the same money in the same words of an identity is the same.
        differing = {(each.money, each.identity): each for some in contents for each in some}
        if len(differing) > 1:
            found.in_money.append(Conflict(event, list(differing.values())))
    return found


def _profile(connection: Connection, runtime: Runtime, source_name: str) -> tuple[Bank, Profile]:
    source = sources.find(connection, source_name)
    assert source is not None  # noqa: S101 - an event has a source
    return banks.named(source.bank), whole_profile(connection, runtime.encryption, source)


def _deliveries(connection: Connection, event: EventRecord, bytes_left: int) -> Iterator[DeliveryRecord]:
    """Yield the delivery that told an event first, and those that said something else, while there are bytes left."""
    first, *later = events.deliveries_of(connection, event.id)
    others = [known.id for known in later if known.conflict]
    for delivery_id in [first.id, *others][:DELIVERIES_MAX]:
        row = deliveries.find(connection, delivery_id) if bytes_left > 0 else None
        if row is not None and row.body is not None:
            bytes_left -= row.body_bytes
            yield row


def _contents(row: DeliveryRecord, event: EventRecord, identity: bytes, bank: Bank, profile: Profile) -> list[Content]:
    """Return what a delivery says of an event's money, as it is read today; nothing where it can't be read."""
    callback = callback_of(row, bytes(row.body or b""))
    try:
        proof = bank.prove(callback, profile, row.received_at)
    except (Refusal, KeysNotKnown):
        # It was proven when it came; what does not come encrypted can be read without.
        proof = Proof(event.proof, event.proof_key, callback.body)
    claims = _claims(bank, proof)
    same = [claim for claim in claims if digest_of(claim.identity) == identity]
    # An event of an earlier release may have another identity by now; a delivery that tells one thing tells that.
    alone = claims if len(claims) == 1 and not claims[0].type.endswith(".unrecognised") else ()
    return [Content(row.id, _money(claim), digest_of(claim.identity)) for claim in same or alone]


def _claims(bank: Bank, proof: Proof) -> Sequence[Claim]:
    try:
        return bank.read(proof)
    except Exception:
        # It was read once; a fault in reading it anew must not stop the look at all others.
        log.debug("a stored delivery of %s can't be read", bank.name, exc_info=True)
        return ()


def _money(claim: Claim) -> str:
    account = claim.facts.get("account_number") or claim.facts.get("account_id")
    worth = f"{shortest_decimal_text(claim.amount)} {claim.currency or 'without a currency'}"
    amount = "no amount that can be read" if claim.amount is None else worth
    return f"{amount} on {account}" if account else amount


ROWS_MAX = 400
"""Of a comparison; the rest is in the payloads themselves."""

DEPTH_MAX = 32


class Row(NamedTuple):
    """One place in the contents, such as `value.amount`, and what stands there in each of them."""

    place: str
    values: Sequence[str | None]
    """None where there is nothing."""
    is_other: bool
    """Whether they differ."""


def compared(texts: Sequence[str | None]) -> list[Row]:
    """Lay contents side by side, in the order of the first one; what is no JSON is one value."""
    flat = [dict(_flat(_read(text))) if text is not None else {} for text in texts]
    places = list(dict.fromkeys(place for each in flat for place in each))
    rows = [Row(place, [each.get(place) for each in flat], False) for place in places[:ROWS_MAX]]
    return [row._replace(is_other=len(set(row.values)) > 1) for row in rows]


def _read(text: str) -> Any:
    try:
        # As they were written: no number is rounded.
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return text


def _flat(value: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    inner: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value, 1))
    if not inner or depth == DEPTH_MAX:
        yield place or "content", _written(value)
        return
    for name, each in inner:
        yield from _flat(each, f"{place}.{name}" if place else str(name), depth + 1)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
