"""The rehearsal itself: everything is set up, the day runs, what is open is waited for, everything is cleared away."""

import math
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import requests

from receiver import runtime
from receiver.admin import database as database_acts
from receiver.admin import secrets, sources, tokens
from receiver.admin.sources import NewSource
from receiver.model import ReceiverError
from receiver.rehearse.banks import BANKS, RehearsedBank
from receiver.rehearse.databases import PlaceUnusable, PostgresDatabase, SqliteFile, ThrowAway
from receiver.rehearse.day import DAY_SECONDS, Day
from receiver.rehearse.faults import WHO, Director, Fault, Happened, Stage, length_seconds
from receiver.rehearse.place import Receiver
from receiver.rehearse.traffic import Answer, Reader, Sent, Traffic, missing
from receiver.runtime import Runtime
from receiver.server.throwaway import call, heard
from receiver.settings import Settings
from receiver.simulator import require_installed
from receiver.store import schema
from receiver.store.api_tokens import SCOPES

POLL_SECONDS = 0.1
STANDSTILL_SECONDS = 150.0
"""After the day it is waited for what is open, for as long as something moves within this time: longer than a lease."""

SETTLE_SECONDS_MAX = 20.0
"""For how long the worker may go on asking banks once every callback is taken: a quarter of the day, if less."""

LIST_TRIES = 5

Progress = Callable[[float, str], None]
"""Is given the seconds since the start, and what happens now."""


@dataclass(frozen=True)
class Plan:
    """What to rehearse, where, and for how long."""

    day: Day
    seconds: float
    faults: list[Fault]
    database_url: str | None = None
    """Of the PostgreSQL in which a database is made; none for a SQLite file."""
    folder: Path | None = None
    """Where the SQLite file and the log lie meanwhile; none for the system's folder for such things."""
    processes: int = 2
    seed: int = 0


@dataclass
class Outcome:
    """All that was seen."""

    plan: Plan
    database: str = ""
    answers: list[Answer] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    memory: list[tuple[float, int, int]] = field(default_factory=list)
    """By the seconds since the start, bytes that the processes that answer held, and the worker."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    open: int = 0
    """Callbacks that were not taken when it ended."""
    behind_seconds: float = 0.0
    entries: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    """Entries of the feed by what they are: `callbacks`, `replayed`, and our own types."""
    restarts: dict[str, int] = field(default_factory=dict)
    left_open: dict[str, int | None] = field(default_factory=dict)
    """How much of each stayed open; None where nobody answered."""
    wrong: list[str] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0
    log: str = ""


def run(plan: Plan, progress: Progress) -> Outcome:
    """Rehearse, and return what was seen; Ctrl-C and such end it early, and everything is cleared away all the same.

    Once the day has begun there is an outcome, whatever happens: what fails besides, and what can't be cleared away, is
    among what is wrong.

    Raises:
        SimulatorNotInstalled
        NotLoopback
        PlaceUnusable
        StoreUnavailable
    """
    require_installed()
    outcome = Outcome(plan)
    left: list[str] = []
    with _interrupted_once() as asked:
        try:
            with ExitStack() as stack:
                _rehearse(outcome, progress, asked, _Clearing(stack, left))
        except ReceiverError as error:
            if left:
                raise PlaceUnusable("; ".join([str(error), *left])) from error
            raise
    outcome.wrong += left
    return outcome


class _Clearing:
    """Clears away in the end, the last first; what can't be cleared away is said, and hinders nothing else."""

    def __init__(self, stack: ExitStack, left: list[str]) -> None:
        self._stack, self._left = stack, left

    def later(self, what: str, act: Callable[[], object]) -> None:
        """Have `act` called in the end; `what` says what could not be done where it fails."""

        def clear() -> None:
            try:
                act()
            except Exception as error:
                self._left.append(f"{what}: {_one_line(error)}")

        self._stack.callback(clear)


def _one_line(error: Exception) -> str:
    words = " ".join(str(error).split())[:300]
    return words if isinstance(error, ReceiverError) else f"{type(error).__name__}: {words}"


def _rehearse(outcome: Outcome, progress: Progress, asked: Callable[[], bool], clearing: _Clearing) -> None:
    plan = outcome.plan
    # Before Python 3.12 what was asked for below a relative folder is relative, and the processes stand elsewhere.
    folder = Path(tempfile.mkdtemp(prefix="receiver-rehearsal-", dir=plan.folder)).absolute()
    clearing.later(f"the folder {folder} could not be removed", lambda: shutil.rmtree(folder))
    database = SqliteFile(folder) if plan.database_url is None else PostgresDatabase(plan.database_url)
    clearing.later(f"the database {database.name} could not be dropped", database.drop)
    outcome.database = database.kind
    receiver = Receiver(folder, database.url, plan.processes)
    parts = _parts(receiver, database)
    clearing.later("the connections to the database could not be closed", parts.database.close)
    progress(0.0, "sets everything up")
    schema.upgrade(parts.database, parts.encryption)
    banks: dict[str, RehearsedBank] = {}
    for name, bank in plan.day.banks.items():
        banks[name] = BANKS[bank]()
        banks[name].simulator.start()
        clearing.later(f"the bank of {name} could not be ended", banks[name].simulator.stop)
    token = _add_sources(parts, banks)
    clearing.later("the receiver's processes could not be stopped", receiver.stop)
    receiver.start(token, asked)
    stage = _stage(plan, receiver, database, banks, parts, token)
    try:
        _Rehearsed(outcome, stage, Reader(receiver.url, token), progress, asked).run()
        outcome.log = receiver.log.read_text(errors="replace")
    except Exception as error:
        outcome.wrong.append(f"the rehearsal itself failed: {_one_line(error)}")
    outcome.restarts = dict(receiver.restarts)


def _parts(receiver: Receiver, database: ThrowAway) -> Runtime:
    days = dict.fromkeys((f"retention_{kind}_days" for kind in ("payload", "headers", "rejected", "checks")), 1)
    given: dict[str, Any] = {"secret_keys": receiver.key, "database_url": database.url, **days}
    return runtime.start(Settings(_env_file=None, **given))


def _add_sources(parts: Runtime, banks: dict[str, RehearsedBank]) -> str:
    """Add each bank's source with its secret; return an app's token for everything."""
    for name, bank in banks.items():
        new = NewSource(name, bank.bank, base_url=bank.base_url, options=bank.options)
        sources.add(parts, WHO, new, bank.credentials)
        secrets.put(parts, WHO, name, bank.secret)
    return tokens.create(parts, WHO, "rehearsal", scopes=SCOPES).text


def _stage(
    plan: Plan, receiver: Receiver, database: ThrowAway, banks: dict[str, RehearsedBank], parts: Runtime, token: str
) -> Stage:
    traffic = Traffic(banks, receiver.url, plan.seed)
    return Stage(receiver, database, banks, traffic, parts, token, length_seconds(plan.seconds))


class _Rehearsed:
    """One run, from the first callback to the last look at what is there."""

    def __init__(
        self, outcome: Outcome, stage: Stage, reader: Reader, progress: Progress, asked: Callable[[], bool]
    ) -> None:
        self._outcome, self._stage, self._reader = outcome, stage, reader
        self._plan, self._traffic = outcome.plan, stage.traffic
        self._progress, self._asked = progress, asked
        self._director = Director(stage, list(outcome.plan.faults), outcome.plan.seconds)
        self._memory_due = 0.0

    def run(self) -> None:
        """Go through the day, and look at what came of it."""
        self._traffic.start(time.monotonic())
        self._reader.start()
        try:
            second = self._plan.seconds / DAY_SECONDS
            for planned in self._plan.day.planned:
                self._traffic.send(planned, planned.at * second)
            self._go_on(lambda: self._traffic.now() >= self._plan.seconds, "the day")
            self._wait(lambda: self._director.is_over and not self._traffic.open, "takes what is open")
            self._wait(_now_and_then(self._is_read), "reads the feed to its end")
            self._settle()
        finally:
            self._director.stop()
            self._traffic.stop()
            self._reader.stop()
        self._note()

    def _go_on(self, is_over: Callable[[], bool], what: str) -> None:
        while not self._asked() and not is_over():
            now = self._traffic.now()
            self._director.start_due(now)
            if now >= self._memory_due:
                sizes = self._stage.receiver.memory_bytes()
                if sizes is not None:
                    self._outcome.memory.append((now, *sizes))
                self._memory_due = now + max(0.5, self._plan.seconds / 300)
            self._progress(now, ", ".join(self._director.acting) or what)
            time.sleep(POLL_SECONDS)

    def _wait(self, is_over: Callable[[], bool], what: str) -> None:
        """Wait for as long as anything moves."""
        before, ends = (-1, -1), 0.0

        def is_done() -> bool:
            nonlocal before, ends
            seen = (self._traffic.open, len(self._reader.positions))
            if seen != before or self._director.acting:
                before, ends = seen, time.monotonic() + STANDSTILL_SECONDS
            return is_over() or time.monotonic() > ends

        self._go_on(is_done, what)

    def _is_read(self) -> bool:
        lost, _ = missing(self._traffic.sent, self._reader)
        return not lost and all(self._reader.replayed[each] >= number for each, number in self._stage.replays.items())

    def _settle(self) -> None:
        """Let the worker ask banks for a while; what stays open is told."""
        ends = time.monotonic() + min(SETTLE_SECONDS_MAX, self._plan.seconds / 4)
        # No answer is not the answer that nothing is open.
        is_settled = _now_and_then(lambda: self._unconfirmed() == Counter())
        self._go_on(lambda: time.monotonic() > ends or is_settled(), "lets banks be asked")

    def _note(self) -> None:
        outcome, reader = self._outcome, self._reader
        outcome.seconds = self._traffic.now()
        outcome.interrupted = self._asked()
        outcome.answers, outcome.sent = self._traffic.answers, self._traffic.sent
        outcome.happened = sorted(self._director.happened, key=lambda each: each.began)
        outcome.behind_seconds, outcome.open = self._traffic.behind_seconds, self._traffic.open
        outcome.lost, outcome.doubled = missing(self._traffic.sent, reader)
        outcome.entries = len(reader.positions)
        outcome.seen = {
            "callbacks": reader.heard.total(),
            "replayed": reader.replayed.total(),
            **dict(sorted(reader.others.items())),
        }
        outcome.wrong += self._faults()
        outcome.left_open = self._left_open()

    def _faults(self) -> Iterator[str]:
        """Say what is wrong, a line for each."""
        for what, number in (self._traffic.wrong + self._reader.wrong).items():
            yield f"{what} ({number} times)"
        if self._outcome.interrupted:
            # What was under way was not waited for, so nothing can be said of it.
            yield "it was ended before its end"
            return
        for words, names in (("lost", self._outcome.lost), ("doubled", self._outcome.doubled)):
            if names:
                yield f"{len(names)} {words}: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
        if self._outcome.open:
            yield f"{self._outcome.open} callbacks were not taken when it ended"
        for replay_id, number in self._stage.replays.items():
            if (seen := self._reader.replayed[replay_id]) != number:
                yield f"the replay {replay_id} sent {seen} of {number} entries"
        for each in self._outcome.happened:
            if each.state == "failed":
                yield f"the fault {each.fault.kind} failed: {each.said}"
        try:
            for checked in database_acts.check(self._stage.parts):
                yield from (f"the database, {checked.what}: {fault}" for fault in checked.faults[:3])
        except ReceiverError as error:
            yield f"the database can't be looked at: {error}"

    def _unconfirmed(self) -> Counter[str] | None:
        return self._listed("payments", "source", {"agreement": "unconfirmed"})

    def _left_open(self) -> dict[str, int | None]:
        """Return what a person would find: payments that no bank has confirmed, and what needs a person.

        What nobody answers is wrong.
        """
        found: dict[str, int | None] = {}
        for agreement in ("unconfirmed", "contradicted", "unknown_to_bank"):
            words = agreement.replace("_", " ")
            payments = self._listed("payments", "source", {"agreement": agreement}, LIST_TRIES)
            if payments is None:
                found[f"payments {words}"] = None
            else:
                found |= {f"payments of {name} {words}": payments[name] for name in sorted(payments)}
        exceptions = self._listed("exceptions", "kind", {}, LIST_TRIES)
        if exceptions is None:
            found["exceptions"] = None
        else:
            found |= {f"exceptions {kind.replace('_', ' ')}": exceptions[kind] for kind in sorted(exceptions)}
        self._outcome.wrong += [f"no answer says how many {what} stayed open" for what in found if found[what] is None]
        return found

    def _listed(self, what: str, by: str, query: dict[str, str], tries: int = 1) -> Counter[str] | None:
        found = listed(self._stage.receiver.url, self._stage.token, what, by, query)
        if found is not None or tries == 1:
            return found
        time.sleep(1)
        return self._listed(what, by, query, tries - 1)


def listed(url: str, token: str, what: str, by: str, query: dict[str, str]) -> Counter[str] | None:
    """Count a list of the receiver's API by one of its fields; None where there is no answer to one of its pages."""
    found: Counter[str] = Counter()
    cursor = None
    while True:
        asked = {**query, "limit": "500", **({"cursor": cursor} if cursor else {})}
        headers = {"Authorization": f"Bearer {token}"}
        try:
            answer = call("GET", f"{url}/api/v1/{what}", params=asked, headers=headers, timeout=60)
        except requests.RequestException:
            return None
        if not answer.ok:
            return None
        page = answer.json()
        found.update(str(row[by]) for row in page["data"])
        cursor = page["next"]
        if not cursor or not page["data"]:
            return found


def _now_and_then(look: Callable[[], bool]) -> Callable[[], bool]:
    """Return what looks once a second at most, for what takes long to look at."""
    looked_at = -math.inf

    def looking() -> bool:
        nonlocal looked_at
        if time.monotonic() < looked_at + 1:
            return False
        found = look()
        looked_at = time.monotonic()
        return found

    return looking


@contextmanager
def _interrupted_once() -> Iterator[Callable[[], bool]]:
    """Have what ends a program end the rehearsal in good order; to repeat it changes nothing."""
    asked: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        asked.append(number)

    with heard(ask):
        yield lambda: bool(asked)


def memory_over_day(samples: list[tuple[float, int, int]]) -> tuple[int, int, int] | None:
    """Return what was held at first, in the middle and at last, as medians; none where there are few samples.

    These are the second, sixth and last tenth of the time: at night before any load, behind the morning's, and at the
    end. What grows with the callbacks shows between the latter two; before, caches fill.
    """
    if len(samples) < 10:
        return None
    tenth = len(samples) // 10
    first, middle, last = (
        statistics.median(web + worker for _, web, worker in samples[begins : begins + tenth])
        for begins in (tenth, 5 * tenth, len(samples) - tenth)
    )
    return int(first), int(middle), int(last)
