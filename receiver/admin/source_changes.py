"""Changing what a source says of its bank (`receiver source set`), and removing one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from receiver import banks
from receiver.admin import sources
from receiver.admin.sources import NewSource
from receiver.banks import business_days
from receiver.banks.abilities import ListsPayments
from receiver.banks.protocol import OptionsWrong
from receiver.credentials import outcomes
from receiver.model import NotFound, NotPossible
from receiver.reconcile.days import days_around
from receiver.runtime import Runtime
from receiver.store import audit, bank_lines, credential_changes, day_sides, days, destinations, source_removal, sweeps
from receiver.store.database import Contended, retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord, names


@dataclass(frozen=True)
class NewSettings:
    """What a person changes of a source; what is not named stays as it is."""

    options: Mapping[str, str] = field(default_factory=dict)
    """As they were typed."""
    unset: Sequence[str] = ()
    """Options that are to have their defaults again."""
    base_url: str | None = None
    """The empty text for the bank's own address."""
    environment: str | None = None


def change(runtime: Runtime, who: str, name: str, new: NewSettings) -> SourceRecord:
    """Change a source, checked as when one is added; audited as `source.set`.

    Its credentials are sealed anew for where they go from now on. All processes use it within a second. Where its
    calendar is set, the lines of its bank's lists get the days of that, but for those of closed days. If that is cut
    short, the same change goes on with it.

    Raises:
        NotFound: there is no such source, or an option to be unset is not set.
        OptionsWrong: `BaseUrlWrong` or `BaseUrlMissing` where it is the address of the API.
        NotPossible: another bank is meant while a change of credentials is unfinished; or what stands in the database
            is not what the receiver put there.
        StoreUnavailable
    """
    changed = _changed(runtime, who, name, new)
    if business_days.OPTION in {*new.options, *new.unset}:
        _date_lines(runtime, changed)
    return changed


@retried
def _changed(runtime: Runtime, who: str, name: str, new: NewSettings) -> SourceRecord:
    with runtime.database.write() as connection:
        source = sources.locked(connection, name)
        values = _values(source, new)
        pending = credential_changes.pending(connection, source.id)
        if pending is not None and (values["base_url"], values["environment"]) != (source.base_url, source.environment):
            words = "Till it is over, address and environment of the bank must stay as they are"
            raise NotPossible(f"{outcomes.standing(source, pending)}. {words}")
        try:
            changed = destinations.move(connection, runtime.encryption, source, **values)
        except DecryptionFailed as error:
            words = f"set that back with `receiver source set {name}`, or look at it and give the credentials anew"
            raise NotPossible(f"{error}; {words}: `receiver source credentials {name}`") from error
        about = {"source": name, "options": dict(new.options), "unset": list(new.unset)}
        about |= {key: values[key] for key in ("base_url", "environment") if values[key] != getattr(source, key)}
        audit.write(connection, runtime.encryption, at=runtime.clock(), who=who, what="source.set", about=about)
        return changed


@retried
def _wait_for_sweeps(runtime: Runtime, source: SourceRecord) -> None:
    """Wait until a sweep that began by the former calendar has stored its lines, or stores none from then on."""
    with runtime.database.write() as connection:
        sweeps.lock(connection, source.id, runtime.clock())


def _date_lines(runtime: Runtime, source: SourceRecord) -> None:
    """Have each line belong to a day of the calendar as it is now, unless its day is closed; idempotent.

    Else one would be on a day that is none any more, or beside events that belong to another day.
    """
    if not isinstance(banks.named(source.bank), ListsPayments):
        return
    _wait_for_sweeps(runtime, source)
    with runtime.database.read() as connection:
        listed = bank_lines.days_of(connection, source.id)
        closed = days.closed_between(connection, source.id, listed[0], listed[-1]) if listed else set()
    for day in listed:
        behind: int | None = None if day in closed else 0
        while behind is not None:
            behind = _date_some(runtime, source, day, behind)


@retried
def _date_some(runtime: Runtime, source: SourceRecord, day: date, behind: int) -> int | None:
    """Date lines of one day in one transaction; return the number of the last, or none where there was none left.

    What the bank names no time of stays where it is.
    """
    moved: dict[date, list[int]] = {}
    now = runtime.clock()
    with runtime.database.write() as connection:
        sweeps.lock(connection, source.id, now)
        around = days_around(connection, source)
        lines = day_sides.lines(connection, source.id, day, behind=behind, limit=bank_lines.WRITTEN_AT_ONCE)
        for line in lines:
            if line.named_day is None and line.at is not None:
                day_now = around(line.at.date()).day_of(line.at)
            else:
                named = line.named_day or day
                day_now = around(named).day_named(named)
            moved.setdefault(day_now, []).append(line.id)
        moved.pop(day, None)
        for other, line_ids in sorted(moved.items()):
            bank_lines.move(connection, line_ids, other)
        if moved:
            # The day itself may have been closed meanwhile.
            days.make_due(connection, source.id, [day, *moved], now)
    return lines[-1].id if lines else None


def _values(source: SourceRecord, new: NewSettings) -> dict[str, Any]:
    if missing := [key for key in new.unset if key not in source.options]:
        raise NotFound(f"{source.name} has no option {missing[0]} set; set: {', '.join(source.options) or 'none'}")
    if both := set(new.unset) & set(new.options):
        raise OptionsWrong(f"{min(both)} is to be set and unset")
    typed = banks.named(source.bank).check_options(
        {**{key: value for key, value in source.options.items() if key not in new.unset}, **new.options}
    )
    base_url = source.base_url if new.base_url is None else new.base_url or None
    environment = new.environment or source.environment
    if new.base_url is not None or new.environment is not None:
        sources.check(NewSource(source.name, source.bank, environment, base_url, typed))
    return {"options": typed, "base_url": base_url, "environment": environment}


def outdated(source: SourceRecord) -> Iterator[str]:
    """Yield in words what was accepted when it was set, and would not be today: an address, an option."""
    bank = banks.named(source.bank)
    try:
        if source.base_url is not None:
            bank.check_base_url(source.base_url)
    except OptionsWrong as error:
        yield str(error)
    try:
        bank.check_options(source.options)
    except OptionsWrong as error:
        yield str(error)


TRIES, PAUSE_SECONDS = 8, 0.25
"""Twice as long as other processes take callbacks for a source by what they know of it."""


@dataclass(frozen=True)
class Removed:
    """What became of a source."""

    name: str
    """What it is called where removed sources are listed: by its own name, which stays taken, or by a former one."""
    holds: Sequence[str]
    """The tables that hold what came of its callbacks; none where its name is free."""


def remove(runtime: Runtime, who: str, name: str) -> Removed:
    """Remove a source for good; audited as `source.removed`.

    Its callbacks get 404 within a second, its bank is asked no more, its API credentials are destroyed and an
    unfinished change of them is given up. Where anything came of its callbacks (events, late deliveries, rejected ones
    that look like the bank's) it is hidden: its name stays taken, and a valid filter. Else its name is free for another
    source. Where that was cut short, it can be asked for once more.

    Raises:
        NotFound
        NotPossible: it was removed before, and is to stay; or it was removed meanwhile.
        StoreUnavailable
    """
    source, holds = _hide(runtime, who, name)
    for number in range(0 if holds else TRIES):
        if number:
            time.sleep(PAUSE_SECONDS)
        with suppress(Contended):
            return _clear(runtime, source)
    return Removed(name, holds or ["deliveries"])


@retried
def _hide(runtime: Runtime, who: str, name: str) -> tuple[SourceRecord, Sequence[str]]:
    """Hide a source; return it, and the tables that hold what came of its callbacks."""
    now = runtime.clock()
    with runtime.database.write() as connection:
        sources.named(connection, name)
        source = destinations.locked(connection, name)
        if source is None:
            raise NotPossible(f"source {name} was removed meanwhile")
        holds = source_removal.remaining(connection, source.id)
        if source.hidden_at is None:
            outcomes.abandon(connection, runtime.encryption, source, who, now)
            source_removal.hide(connection, source, now)
            about = {"source": name, "bank": source.bank, "hidden": bool(holds)}
            audit.write(connection, runtime.encryption, at=now, who=who, what="source.removed", about=about)
        elif holds:
            raise NotPossible(f"source {name} was removed before, and what its bank told stays")
        return source, holds


def _clear(runtime: Runtime, source: SourceRecord) -> Removed:
    """Free the name of a hidden source, unless a callback that was on its way has left something.

    Another removal may have done so meanwhile, and the name be another source's by now.

    Raises:
        Contended: one is being written just now.
    """
    with runtime.database.write() as connection:
        if (name := names(connection)[source.id]) != source.name:
            return Removed(name, [])
        holds = source_removal.remaining(connection, source.id)
        return Removed(source.name if holds else source_removal.clear(connection, source), holds)
