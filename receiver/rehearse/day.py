"""The day that is rehearsed: which callback comes when, of which source, about what, and how large it is.

A made-up day has a curve as payment traffic has it: hardly anything at night, a rise in the morning, a dip at noon, a
peak before the cut-off in the afternoon. A captured one has the times, types and sizes of what a database holds. Either
way no body is taken over: `receiver.rehearse.banks` makes each anew.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from receiver.admin.names import Names
from receiver.model import ReceiverError, Verdict
from receiver.rehearse.banks import BANKS
from receiver.rehearse.databases import local_url
from receiver.store import deliveries, schema, sources
from receiver.store.database import Database

DAY_SECONDS = 86400

BY_HOUR = (2, 1, 1, 1, 2, 4, 12, 30, 62, 88, 96, 84, 60, 70, 90, 100, 96, 74, 40, 22, 14, 9, 6, 4)
"""How much comes in each hour of a made-up day, the busiest at 100."""

SHARES = {"bcb": 45, "banking_circle": 25, "standard_webhooks": 20, "connectpay": 5, "banqup": 5}
"""The banks of a made-up day, and how many of 100 callbacks are theirs."""

REPEATED_SHARE = 0.02
"""Of a made-up day's callbacks so many are sent twice by the bank."""

SIZES = (0, 0, 0, 200, 200, 900, 4000)
"""Bytes that a made-up callback has besides what it says at least."""

LARGEST_BATCH = 12
"""Notifications in a callback of a made-up day, at a bank that sends several at once."""


class NothingCaptured(ReceiverError):
    """The database holds no callback of that day that can be rehearsed, or is not there."""


@dataclass(frozen=True)
class Planned:
    """One callback: `at` seconds after midnight, `size` bytes at least, about so many things of these types.

    A type that says nothing is the bank's usual one. One that `repeats` is an earlier one of its source once more; one
    that is `forged` is not the bank's.
    """

    at: float
    source: str
    types: tuple[str, ...] = ("",)
    size: int = 0
    repeats: bool = False
    forged: bool = False


@dataclass(frozen=True)
class Day:
    """What is to come, in order, and from which sources: their names, and the bank of each."""

    planned: Sequence[Planned]
    banks: Mapping[str, str]
    about: str
    """Where the day is from, in words."""


def made_up(callbacks: int, *, seed: int = 0) -> Day:
    """Return a day of so many callbacks, the same for each `seed`."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    hours = rng.choices(range(24), BY_HOUR, k=callbacks)
    times = sorted(hour * 3600 + rng.random() * 3600 for hour in hours)
    names = rng.choices(list(SHARES), list(SHARES.values()), k=callbacks)
    # Each bank comes, however few callbacks there are.
    for index, name in enumerate(list(SHARES)[:callbacks]):
        names[index] = name
    planned = [_made_up(rng, at, name) for at, name in zip(times, names, strict=True)]
    return Day(planned, {name: name for name in SHARES}, f"a made-up day of {callbacks} callbacks")


def _made_up(rng: random.Random, at: float, name: str) -> Planned:
    several = BANKS[name].sends_batches and rng.random() < 0.3
    types = ("",) * (rng.randint(2, LARGEST_BATCH) if several else 1)
    return Planned(at, name, types, rng.choice(SIZES), repeats=rng.random() < REPEATED_SHARE)


def captured(url: str, day: date, names: Sequence[str] = ()) -> Day:
    """Return the day (UTC) as the database at `url` holds it, of these sources or of all; it is only read.

    Raises:
        NotLoopback: it is on another machine.
        NoDatabaseUrl
        NothingCaptured
        NameUnknown: it has no such source.
        NotMigrated
        StoreUnavailable
    """
    url = local_url(url)
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:") and not file.is_file():
        # SQLite itself would make it.
        raise NothingCaptured(f"there is no file {str(file)!a}")
    begins = datetime.combine(day, time(), UTC)
    # Of the calendar's last day an end can't be told, and nothing has come yet.
    ends = begins + timedelta(days=min(1, (date.max - day).days))
    database = Database(url, is_read_only=True)
    try:
        schema.check(database)
        Names(database).check_all("source", names)
        with database.read() as connection:
            known = {source.name: source for source in sources.every(connection)}
            chosen = [known[name] for name in names or known]
            for source in chosen:
                if source.bank not in BANKS:
                    raise NothingCaptured(
                        f"the source {source.name!a} is of the bank {source.bank!a}, of which there is no simulator: "
                        "name the others by --source"
                    )
            planned = [
                _captured(outline, source.name, begins)
                for source in chosen
                for outline in deliveries.outlines(connection, source.id, begins, ends)
            ]
    finally:
        database.close()
    if not planned:
        raise NothingCaptured(f"that database holds no callback of {day:%Y-%m-%d} (UTC)")
    planned.sort(key=lambda each: each.at)
    came = Counter(each.source for each in planned)
    banks = {source.name: source.bank for source in chosen if came[source.name]}
    return Day(planned, banks, f"{day:%Y-%m-%d} as captured: {len(planned)} callbacks")


def _captured(outline: deliveries.Outline, name: str, begins: datetime) -> Planned:
    return Planned(
        (outline.received_at - begins).total_seconds(),
        name,
        outline.types or ("",),
        outline.body_bytes,
        repeats=outline.verdict == Verdict.DUPLICATE,
        forged=outline.verdict == Verdict.REJECTED,
    )
