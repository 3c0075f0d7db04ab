"""The parts of the benchmark; each returns what is written down as its raw results."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bank import BankSigner
from conftest import KEY, add_source
from sqlalchemy import Connection, func, select

from bench.disk import SlowDisk
from bench.field import yardstick
from bench.load import Generator, Shape
from bench.rounds import Contest, Result
from bench.stage import Stage
from receiver import banks, runtime
from receiver.banks.callback import Callback
from receiver.inbox.source_cache import profile_of
from receiver.settings import Settings
from receiver.store import schema
from receiver.store.database import Database
from receiver.store.tables import Event, PendingEvent, table_of

RATES = (50, 200, 1000)
REACHABLE = 0.9
"""A fixed rate is tried with those whose saturation it is not above, by this share."""

SHARE = 0.7
MINUTE = 60

SLOW_MILLISECONDS = (1, 5)
SLOW = ("ours-sqlite", "textbook-sqlite", "ours-postgresql", "textbook-postgresql")

PROJECTED = ("ours-sqlite", "ours-worker-sqlite", "ours-postgresql", "ours-worker-postgresql")
LOOKED_EVERY = 0.25

MEMORY = ("bare", "ours-sqlite", "ours-postgresql")
EVENTS, PART = 200_000, 20_000

Raw = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int
    shape: Shape
    gunicorn: Sequence[str] = ()
    events: int = EVENTS


def _recorded(results: Sequence[Result]) -> Raw:
    return {result.name: result.record() for result in results}


def closed(contest: Contest, plan: Plan) -> Raw:
    """Saturation over connections that are kept."""
    return _recorded(contest.rounds(plan.shape, plan.rounds))


def fresh(contest: Contest, plan: Plan) -> Raw:
    """Saturation with a new connection for each callback."""
    return _recorded(contest.rounds(replace(plan.shape, fresh=True), plan.rounds))


def fixed(contest: Contest, plan: Plan, saturation: dict[str, float]) -> Raw:
    """Open loops at fixed rates."""
    made: Raw = {}
    for rate in RATES:
        able = [name for name, most in saturation.items() if rate <= REACHABLE * most]
        shape = replace(plan.shape, rate=rate, connections=_most_connections(plan))
        made[str(rate)] = _recorded(contest.rounds(shape, plan.rounds, able))
    return made


def _most_connections(plan: Plan) -> int:
    """Return how many connections an open loop, which opens them as it needs them, may have at most."""
    return max(256, plan.shape.connections)


def seventy(contest: Contest, plan: Plan, saturation: dict[str, float]) -> Raw:
    """Open loops at 70 % of ours' saturation, a minute together, beside the bare view at the same rate."""
    made: Raw = {}
    for name in ("ours-sqlite", "ours-postgresql"):
        if name not in saturation:
            continue
        rate = round(SHARE * saturation[name])
        seconds = max(plan.shape.seconds, MINUTE / plan.rounds) if plan.rounds >= 5 else plan.shape.seconds
        shape = replace(plan.shape, rate=rate, seconds=seconds, connections=_most_connections(plan))
        made[name] = {
            "rate": rate,
            "rounds": _recorded(contest.rounds(shape, plan.rounds, (name, yardstick(name, saturation)))),
        }
    return made


def saturation_of(contest: Contest, plan: Plan, measured: Raw | None) -> dict[str, float]:
    """Return everybody's saturation: what was measured, or else a single round."""
    known = measured or _recorded(contest.rounds(plan.shape, 1))
    return {name: median(part["rate"] for part in rounds) for name, rounds in known.items()}


def slow(plan: Plan) -> Raw:
    """Saturation with every fsync slowed, over databases of its own."""
    made: Raw = {}
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as name:
        folder = Path(name)
        disk = SlowDisk(folder)
        with Stage(folder, plan.gunicorn, disk) as stage, Contest(stage, Generator(folder)) as contest:
            contest.start(SLOW)
            for milliseconds in SLOW_MILLISECONDS:
                disk.slow_down(milliseconds)
                made[str(milliseconds)] = _recorded(contest.rounds(plan.shape, plan.rounds))
            disk.slow_down(0)
            contest.check()
    return made


def _each_alone(names: Sequence[str], plan: Plan, measure: Callable[[Contest, Plan], Any]) -> Raw:
    """Measure one contestant after the other, each over a fresh database and with nobody beside it."""
    made: Raw = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="receiver-bench-") as place:
            folder = Path(place)
            with Stage(folder, plan.gunicorn) as stage, Contest(stage, Generator(folder)) as contest:
                contest.start([name])
                made[name] = measure(contest, plan)
                contest.check()
    return made


def projection(plan: Plan) -> Raw:
    """How many events wait to be projected at saturation, for a minute where a full run is made, and for how long."""
    return _each_alone(PROJECTED, plan, _projection_of)


def _projection_of(contest: Contest, plan: Plan) -> Raw:
    contestant = contest.contestants[0]
    assert contestant.url is not None
    seconds = MINUTE if plan.rounds >= 5 else plan.shape.seconds
    waiting: list[tuple[int, float]] = []
    failed: list[Exception] = []
    database, is_over = Database(contestant.url), threading.Event()

    def look() -> None:
        try:
            while not is_over.wait(LOOKED_EVERY):
                with database.read() as connection:
                    waiting.append(_waiting(connection))
        except Exception as error:
            failed.append(error)

    watching = threading.Thread(target=look)
    watching.start()
    try:
        measured = contest.measure(contestant, replace(plan.shape, seconds=seconds))
    finally:
        is_over.set()
        watching.join()
        database.close()
    if failed:
        raise failed[0]
    backlog, delay = zip(*between(waiting), strict=True)
    return {"rate": measured.load["rate"], "seconds": seconds, "backlog": backlog, "delay": delay}


def between(waiting: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """Return what was seen without what was before the first callback and after the last, which tells nothing.

    That nothing waits in between tells that all was projected by then.
    """
    seen = [place for place, (number, _) in enumerate(waiting) if number]
    return waiting[seen[0] : seen[-1] + 1] if seen else [(0, 0.0)]


def _waiting(connection: Connection) -> tuple[int, float]:
    """Return how many events wait to be projected, at most, and for how many seconds the first of them has."""
    pending, events = table_of(PendingEvent), table_of(Event)
    first, last = connection.execute(select(func.min(pending.c.id), func.max(pending.c.id))).one()
    if first is None:
        return 0, 0.0
    came = select(events.c.received_at).join(pending, pending.c.event_id == events.c.id).where(pending.c.id == first)
    received_at = connection.execute(came).scalar_one()
    return last - first + 1, (runtime.utc_now() - received_at).total_seconds()


def memory(plan: Plan) -> Raw:
    """Resident memory of the server's processes after each part of 200,000 events, on fresh databases."""
    return _each_alone(MEMORY, plan, _memory_of)


def _memory_of(contest: Contest, plan: Plan) -> list[tuple[int, int]]:
    contestant = contest.contestants[0]
    part = min(PART, plan.events)
    shape = replace(plan.shape, limit=part, seconds=3600, warmup=0)
    after = []
    for number in range(part, plan.events + 1, part):
        contest.measure(contestant, shape)
        after.append((number, contestant.serving.memory()))
    return after


def verification(plan: Plan) -> Raw:
    """Microseconds to verify one HMAC callback of 1 KiB, in one thread: the bank's part of the callback path."""
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as folder:
        url = f"sqlite:///{folder}/receiver.db"
        parts = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
        try:
            schema.upgrade(parts.database, parts.encryption)
            source = add_source(parts)
            with parts.database.read() as connection:
                profile, _ = profile_of(connection, parts.encryption, source, parts.clock())
        finally:
            parts.database.close()
    now = runtime.utc_now()
    made = BankSigner(lambda: now).sign(b"{" + b" " * 1022 + b"}")
    headers = {name.lower(): value.encode() for name, value in made.headers.items()}
    callback = Callback(b"POST", made.path.encode(), None, headers, made.body, "192.0.2.1")
    prove = banks.named("bcb").prove
    rounds = []
    for _ in range(plan.rounds):
        started = time.perf_counter()
        for _ in range(10_000):
            prove(callback, profile, now)
        rounds.append((time.perf_counter() - started) * 100)
    return {"microseconds": rounds}
