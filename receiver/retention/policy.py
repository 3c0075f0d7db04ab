"""For how long to store what came: the settings, and the options of each source, which win."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.model import RetentionKind
from receiver.settings import Settings
from receiver.store import held_back, sources
from receiver.store.records import SKEW
from receiver.store.retention import FEED, Limits, Rule
from receiver.store.sources import SourceRecord

ORDER = tuple(RetentionKind)
"""Payloads go first, headers behind them."""


def days(settings: Settings, source: SourceRecord, kind: RetentionKind) -> int:
    """Return for how many days what is of a source is stored; 0 for ever."""
    found = source.options.get(f"retention_{kind}_days", getattr(settings, f"retention_{kind}_days"))
    return int(found)


def rules(settings: Settings, known: Sequence[SourceRecord], now: datetime, names: Sequence[str] = ()) -> list[Rule]:
    """Return what is to be removed at `now`, in the order in which it is; `names` are sources, none for all.

    The feed is one for all sources: it is among it where no source is named.
    """
    found = [
        rule
        for kind in ORDER
        for source in known
        if kind != RetentionKind.FEED and (not names or source.name in names)
        if (rule := _rule(settings, source, kind, now)) is not None
    ]
    if not names and any(days(settings, source, RetentionKind.FEED) for source in known):
        found.append(Rule(FEED, RetentionKind.FEED, now, now))
    return found


def _rule(settings: Settings, source: SourceRecord, kind: RetentionKind, now: datetime) -> Rule | None:
    number = days(settings, source, kind)
    if kind == RetentionKind.HEADERS and number:
        bodies = days(settings, source, RetentionKind.PAYLOAD)
        number = max(number, bodies) if bodies else 0
    return Rule(source.id, kind, now - timedelta(days=number), source.created_at) if number else None


def idle_since(settings: Settings, now: datetime) -> datetime:
    """Return since when a consumer must have done nothing to hold nothing back (UTC)."""
    return now - timedelta(days=settings.consumer_idle_days)


def limits(connection: Connection, settings: Settings, now: datetime, *, counts_only: bool = False) -> Limits:
    """Return what holds things back at `now`, whatever their age."""
    known = sources.every(connection)
    floor = held_back.floor(connection, idle_since(settings, now))
    before = {
        source.id: now - timedelta(days=number)
        for source in known
        if (number := days(settings, source, RetentionKind.FEED))
    }
    asked = {source.id for source in known if source.has_credentials and _has_api(source)}
    return Limits(asked, None if floor is None else floor.position, now + SKEW, before, counts_only)


def _has_api(source: SourceRecord) -> bool:
    """Tell whether a source's bank can be asked; of one that there is not any more nobody knows."""
    return banks.missing_bank(source) is not None or bool(banks.named(source.bank).credential_names)
