"""What comes and goes while the day is rehearsed: the banks' senders, and an app that reads the feed.

A callback that the bank is not content with is sent again, as the identical delivery where the bank does it so, after
pauses that grow, until it is taken: that banks give up is the business of the give-up clock, and of the sweep.
"""

import heapq
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from receiver.model import OwnType
from receiver.rehearse.banks import Made, RehearsedBank
from receiver.rehearse.day import Planned
from receiver.server.throwaway import call
from receiver.simulator.sender import Attempt, Sender

THREADS = 160
"""So many callbacks are under way at once at most; where the receiver is slower, banks would open more connections."""

TIMEOUT_SECONDS = 10.0
PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)
"""Before a bank's further tries; the last one goes on."""

FRESH_SECONDS = 300.0
"""A callback that was signed longer ago than this is late, and refused until the bank has confirmed it."""

UNAVAILABLE, UNAUTHORIZED = 503, 401
PAGE, WAIT_SECONDS = 500, 1

ITSELF = "the rehearsal itself failed: {error}"

REPEATABLE = 100
"""So many callbacks of each source, from all over the day, are held for what the bank sends twice."""


@dataclass(frozen=True)
class Answer:
    """One try: when it began (seconds since the start), how long it took, and what came (None: no answer)."""

    at: float
    seconds: float
    status: int | None
    forged: bool


@dataclass
class Sent:
    """One callback on its way."""

    planned: Planned
    due: float
    made: Made | None = None
    """What goes over the wire; dropped once it is taken, so that a long day needs no more memory than a short one."""
    subjects: tuple[str, ...] = ()
    signed_at: datetime | None = None
    tries: int = 0
    taken_at: float | None = None
    events: tuple[str, ...] = ()
    """The ids that the receiver answered, where it names them."""


class Traffic:
    """The senders of all banks. Every number that the report has of callbacks comes from here."""

    def __init__(self, banks: Mapping[str, RehearsedBank], receiver_url: str, seed: int) -> None:
        """Start with nothing sent."""
        self.banks = banks
        self._url = receiver_url
        self._rng = random.Random(seed)  # noqa: S311 - no secret
        self._began = 0.0
        self._due: list[tuple[float, int, Sent]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._stopping = False
        self._open = 0
        self._threads = [threading.Thread(target=self._work, name="sender", daemon=True) for _ in range(THREADS)]
        self._sender = Sender(lambda: datetime.now(UTC), timeout_seconds=TIMEOUT_SECONDS)
        self._earlier: dict[str, list[tuple[Made, datetime]]] = {}
        self._made: Counter[str] = Counter()
        self.answers: list[Answer] = []
        self.sent: list[Sent] = []
        self.wrong: Counter[str] = Counter()
        """What no bank should ever be answered, in words."""
        self.behind_seconds = 0.0
        """By how much a callback went out too late at most, as this machine or the receiver was too slow."""

    def start(self, began: float) -> None:
        """Begin; all times are seconds since then (of the monotonic clock)."""
        self._began = began
        for thread in self._threads:
            thread.start()

    def send(self, planned: Planned, due: float) -> None:
        """Send a callback once it is `due`, until it is taken; a forged one once."""
        sent = Sent(planned, due)
        with self._changed:
            self._open += not planned.forged
            self.sent.append(sent)
            self._push(due, sent)

    @property
    def open(self) -> int:
        """How many genuine callbacks are not taken yet."""
        return self._open

    def stop(self) -> None:
        """Send no more, and wait for what is under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._began

    def _push(self, due: float, sent: Sent) -> None:
        heapq.heappush(self._due, (due, next(self._number), sent))
        self._changed.notify()

    def _next(self) -> Sent | None:
        with self._changed:
            while not self._stopping:
                wait = self._due[0][0] - self.now() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
        return None

    def _work(self) -> None:
        while (sent := self._next()) is not None:
            if not sent.tries:
                self.behind_seconds = max(self.behind_seconds, self.now() - sent.due)
            try:
                self._try(sent)
            except Exception as error:
                # A fault of ours, not of the receiver: it has to be told, and nobody is to wait for this callback.
                with self._changed:
                    self.wrong[ITSELF.format(error=f"{type(error).__name__}: {error}")] += 1
                    self._open -= not sent.planned.forged and sent.taken_at is None

    def _try(self, sent: Sent) -> None:
        bank, planned = self.banks[sent.planned.source], sent.planned
        made = sent.made or self._make(bank, sent)
        headers = made.callback.headers()
        began = self.now()
        (attempt,) = self._sender.send(made.url, made.callback.content, lambda: headers, (), lambda _: True)
        is_taken = bank.takes(attempt)
        with self._changed:
            sent.tries += 1
            self.answers.append(Answer(began, attempt.seconds, attempt.status, planned.forged))
            self._judge(sent, attempt)
            if planned.forged:
                sent.made = None
                return
            if is_taken:
                sent.taken_at, sent.events, sent.made = self.now(), _events(attempt), None
                self._open -= 1
            else:
                pause = PAUSES_SECONDS[min(sent.tries, len(PAUSES_SECONDS)) - 1]
                self._push(self.now() + pause * self._rng.uniform(0.8, 1.2), sent)

    def _make(self, bank: RehearsedBank, sent: Sent) -> Made:
        planned = sent.planned
        with self._changed:
            earlier = self._earlier.get(planned.source) if planned.repeats else None
            if earlier:
                made, sent.signed_at = self._rng.choice(earlier)
            else:
                # Under the lock, so that one `seed` makes the same ids in the same order.
                url = f"{self._url}/webhooks/{planned.source}"
                sent.signed_at = bank.simulator.clock()
                made = bank.make(url, planned.types, planned.size, self._rng, forged=planned.forged)
                if not planned.forged:
                    self._hold(planned.source, made, sent.signed_at)
            sent.made, sent.subjects = made, made.subjects
        return made

    def _hold(self, source: str, made: Made, signed_at: datetime) -> None:
        """Hold a callback for what is sent twice: each so far is as likely to be among those held."""
        self._made[source] += 1
        held = self._earlier.setdefault(source, [])
        if len(held) < REPEATABLE:
            held.append((made, signed_at))
        elif (index := self._rng.randrange(self._made[source])) < REPEATABLE:
            held[index] = made, signed_at

    def _judge(self, sent: Sent, attempt: Attempt) -> None:
        """Note what is wrong by itself, whatever becomes of the callback in the end."""
        status, source = attempt.status, sent.planned.source
        if status is None or status == UNAVAILABLE:
            return
        if sent.planned.forged:
            if attempt.accepted:
                self.wrong[f"a forged callback of {source} was answered {status}"] += 1
            elif status != UNAUTHORIZED:
                self.wrong[f"a forged callback of {source} was answered {status} instead of 401"] += 1
        elif status == UNAUTHORIZED:
            age = (datetime.now(UTC) - sent.signed_at).total_seconds() if sent.signed_at else 0.0
            if abs(age) <= FRESH_SECONDS or not self.banks[source].dates_signatures:
                self.wrong[f"a genuine callback of {source} was answered 401"] += 1
        elif not attempt.accepted:
            self.wrong[f"a genuine callback of {source} was answered {status}"] += 1


def _events(attempt: Attempt) -> tuple[str, ...]:
    try:
        found = requests.compat.json.loads(attempt.body)  # type: ignore[attr-defined]
    except ValueError:
        return ()
    return tuple(found.get("events", ())) if isinstance(found, dict) else ()


@dataclass
class Reader:
    """An app that follows `next` through the feed, and asks again where no answer comes."""

    url: str
    token: str = field(repr=False)
    positions: list[int] = field(default_factory=list)
    heard: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each thing came that a callback told, by source and subject."""
    event_ids: set[str] = field(default_factory=set)
    replayed: Counter[str] = field(default_factory=Counter)
    """How many entries each replay has sent again."""
    others: Counter[str] = field(default_factory=Counter)
    """How often our own types came, such as `payment.status_changed`."""
    wrong: Counter[str] = field(default_factory=Counter)
    on_entry: Callable[[], float] = time.monotonic
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read."""
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _read(self) -> None:
        query: dict[str, Any] = {"limit": PAGE, "wait": WAIT_SECONDS}
        while not self._stopping.is_set():
            try:
                page = self._page(query)
                if page is not None:
                    for entry in page["data"]:
                        self._take(entry)
                    query["after"] = page["next"]
                    continue
            except Exception as error:
                self.wrong[ITSELF.format(error=f"{type(error).__name__}: {error}")] += 1
            self._stopping.wait(0.2)

    def _page(self, query: Mapping[str, Any]) -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = call("GET", f"{self.url}/api/v1/feed", params=query, headers=headers, timeout=30)
        except requests.RequestException:
            return None
        if answer.status_code != requests.codes.ok:
            if answer.status_code != UNAVAILABLE:
                self.wrong[f"a reader of the feed was answered {answer.status_code}"] += 1
            return None
        found: dict[str, Any] = answer.json()
        return found

    def _take(self, entry: Mapping[str, Any]) -> None:
        position = int(entry["position"])
        if self.positions and position <= self.positions[-1]:
            self.wrong["the feed's positions did not ascend"] += 1
        self.positions.append(position)
        if "replayid" in entry:
            self.replayed[str(entry["replayid"])] += 1
        elif entry["type"] in OURS:
            self.others[str(entry["type"])] += 1
        else:
            self.heard[str(entry["source"]).rpartition("/")[2], subject_of(entry)] += 1
            self.event_ids.add(str(entry["eventid"]))


OURS = frozenset(map(str, OwnType))
"""What the feed tells of our own accord."""


def subject_of(entry: Mapping[str, Any]) -> str:
    """Return what an entry is about: its subject, or the sender's own id of the message."""
    facts = entry["data"].get("facts") or {}
    return str(entry.get("subject") or facts.get("message_id") or entry["eventid"])


def missing(sent: Sequence[Sent], reader: Reader) -> tuple[list[str], list[str]]:
    """Return what was taken and is not in the feed, and what is there that should not be, or too often.

    Things are named as `source/subject`.
    """
    taken = {(each.planned.source, subject) for each in sent if each.taken_at is not None for subject in each.subjects}
    lost = [f"{source}/{subject}" for source, subject in sorted(taken - reader.heard.keys())]
    for each in sent:
        lost += [event_id for event_id in each.events if event_id not in reader.event_ids]
    known = {(each.planned.source, subject) for each in sent if not each.planned.forged for subject in each.subjects}
    doubled = [f"{source}/{subject}" for (source, subject), times in sorted(reader.heard.items()) if times > 1]
    doubled += [f"{source}/{subject}" for source, subject in sorted(reader.heard.keys() - known)]
    return lost, doubled
