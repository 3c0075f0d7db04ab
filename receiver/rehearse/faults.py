"""What goes wrong at the hours that one chooses, each fault in a thread of its own, for a part of the rehearsal."""

import resource
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import requests

from receiver.admin import retention as retention_acts
from receiver.model import ReceiverError
from receiver.rehearse.banks import RehearsedBank
from receiver.rehearse.databases import ThrowAway
from receiver.rehearse.day import DAY_SECONDS, Planned
from receiver.rehearse.place import PAGE_BYTES, Receiver
from receiver.rehearse.traffic import Traffic
from receiver.runtime import Runtime
from receiver.server.throwaway import call
from receiver.simulator.faults import Fault as BankFault

WHO = "rehearsal"

FORGED_PER_SECOND = 10
SLOW_SENDERS = 40
STEP_SECONDS = 600
"""By how much the banks' clocks go wrong: twice what their signatures allow."""

TRY_SECONDS = 120.0
"""For how long an operator tries what the database or a bank does not take at once."""

LATER_DAYS = 2
"""So many days later retention runs; it is set to one day."""


class LeftOut(Exception):
    """The fault can't be made here honestly; the text says why."""


class FaultFailed(Exception):
    """What an operator does meanwhile did not work in the end."""


@dataclass
class Stage:
    """All that a fault may lay hands on; it lasts for `seconds`."""

    receiver: Receiver
    database: ThrowAway
    banks: Mapping[str, RehearsedBank]
    traffic: Traffic
    parts: Runtime
    token: str = field(repr=False)
    seconds: float
    replays: dict[str, int] = field(default_factory=dict)
    """How many entries each replay is to send again."""
    ending: threading.Event = field(default_factory=threading.Event)

    def hold(self, share: float = 1.0) -> None:
        """Wait for a share of the fault's time, or until all ends."""
        self.ending.wait(self.seconds * share)

    def until_done(self, act: Callable[[], str | None]) -> str:
        """Do something until it works; `act` returns why it does not, or none.

        Raises:
            FaultFailed
        """
        ends, tries = time.monotonic() + TRY_SECONDS, 0
        while True:
            tries += 1
            why = act()
            if why is None:
                return "" if tries == 1 else f" (at try {tries})"
            if time.monotonic() > ends or self.ending.wait(0.5):
                raise FaultFailed(why)


def database_gone(stage: Stage) -> str:
    """Take the database away."""
    with stage.database.gone():
        stage.hold()
    how = (
        "another program held its write lock" if stage.database.kind == "sqlite" else "sessions ended, new ones refused"
    )
    return f"{how} for {stage.seconds:.1f} s"


def disk_full(stage: Stage) -> str:
    """Let no file grow."""
    if stage.database.kind != "sqlite":
        raise LeftOut("PostgreSQL's own disk is not ours to fill: try it with SQLite")
    if not hasattr(resource, "prlimit"):
        raise LeftOut("only Linux lets a limit be set on a process that runs")
    try:
        stage.receiver.limit_files(PAGE_BYTES)
        stage.hold()
    finally:
        stage.receiver.limit_files(None)
    return f"no file of the receiver's could grow (RLIMIT_FSIZE) for {stage.seconds:.1f} s"


def kill(stage: Stage) -> str:
    """Kill -9 a process that answers, then the worker."""
    web = stage.receiver.kill("web")
    stage.hold(0.5)
    stage.receiver.kill("worker")
    stage.hold(0.5)
    return "kill -9 of a process that answers, and of the worker" if web else "kill -9 of the worker"


def bank_down(stage: Stage) -> str:
    """Let the banks' APIs hang up."""
    asked = [bank for bank in stage.banks.values() if bank.base_url is not None]
    for bank in asked:
        bank.simulator.faults.add(BankFault("hang-up", count=None))
    stage.hold()
    for bank in asked:
        bank.simulator.faults.clear()
    return f"the APIs of {len(asked)} banks hung up on everybody for {stage.seconds:.1f} s"


def clock_step(stage: Stage) -> str:
    """Let the clocks of banks that sign a time be ten minutes slow."""
    dated = {name: bank for name, bank in stage.banks.items() if bank.dates_signatures}
    if not dated:
        raise LeftOut("no bank of the day signs a time and has an API that can confirm what came late")
    with ExitStack() as stack:
        for bank in dated.values():
            bank.simulator.clock.set(forward=-STEP_SECONDS)
            stack.callback(bank.simulator.clock.set, forward=STEP_SECONDS)
        stage.hold()
    return f"the clock of the bank of {', '.join(dated)} was {STEP_SECONDS} s behind for {stage.seconds:.1f} s"


def rotation(stage: Stage) -> str:
    """Rotate the credentials, the signing secret among them, of sources whose bank can."""
    names = [name for name, bank in stage.banks.items() if bank.rotates]
    if not names:
        raise LeftOut("no bank of the day rotates credentials by its API")
    tries = ""
    for name in names:

        def rotate(name: str = name) -> str | None:
            ended = stage.receiver.command("credentials", "rotate", name)
            return None if ended.returncode == 0 else " ".join(ended.stderr.split())[-300:]

        tries += stage.until_done(rotate)
    return f"the credentials and the signing secret of {', '.join(names)} were rotated{tries}"


def forgeries(stage: Stage) -> str:
    """Send callbacks that are not the banks'."""
    number = max(1, int(stage.seconds * FORGED_PER_SECOND))
    names = list(stage.banks)
    now = stage.traffic.now()
    for index in range(number):
        planned = Planned(0, names[index % len(names)], forged=True)
        stage.traffic.send(planned, now + index / FORGED_PER_SECOND)
    stage.hold()
    return f"{number} forged callbacks were sent"


def slow_senders(stage: Stage) -> str:
    """Hold connections open with half a callback, a byte a second."""
    head = f"POST /webhooks/{next(iter(stage.banks))} HTTP/1.1\r\nHost: slow\r\nX-Padding: ".encode()
    connections: list[socket.socket] = []
    try:
        for index in range(SLOW_SENDERS):
            # Linux alone has more addresses of loopback than one without being asked for them.
            address = f"127.0.0.{2 + index % 20}" if sys.platform == "linux" else "127.0.0.1"
            with suppress(OSError):
                connections.append(
                    socket.create_connection(
                        ("127.0.0.1", stage.receiver.port), timeout=10, source_address=(address, 0)
                    )
                )
                connections[-1].sendall(head)
        ends = time.monotonic() + stage.seconds
        cut: set[int] = set()
        while time.monotonic() < ends and not stage.ending.wait(1.0):
            for index, connection in enumerate(connections):
                try:
                    connection.send(b"a")
                except OSError:
                    cut.add(index)
    finally:
        for connection in connections:
            connection.close()
    return f"{len(connections)} connections with half a callback, a byte a second; {len(cut)} were cut meanwhile"


def replays(stage: Stage) -> str:
    """Have the feed sent again of one source, as far as it has come."""
    name = next(iter(stage.banks))
    headers = {"Authorization": f"Bearer {stage.token}"}
    url = f"{stage.receiver.url}/api/v1/replays"
    started: dict[str, int] = {}

    def ask() -> str | None:
        body = {"dry_run": True, "reason": "a rehearsal", "filter": {"source": name}}
        try:
            planned = call("POST", url, json=body, headers=headers, timeout=60)
            if not planned.ok:
                return f"a plan was answered {planned.status_code}: {planned.text[:200]}"
            if not planned.json()["matched"]:
                return f"nothing of {name} has come yet"
            ran = call("POST", url, json={"plan": planned.json()["plan"]}, headers=headers, timeout=60)
        except requests.RequestException as error:
            return f"no answer: {type(error).__name__}"
        if not ran.ok:
            return f"a replay was answered {ran.status_code}: {ran.text[:200]}"
        started[ran.json()["id"]] = ran.json()["matched"]
        return None

    tries = stage.until_done(ask)
    stage.replays.update(started)
    return f"{sum(started.values())} entries of {name} were sent to the feed again{tries}"


def retention(stage: Stage) -> str:
    """Remove what is a day old, as if it were two days later."""
    later = replace(stage.parts, clock=lambda: stage.parts.clock() + timedelta(days=LATER_DAYS))
    removed: Counter[str] = Counter()

    def run() -> str | None:
        try:
            for step in retention_acts.run(later, WHO):
                removed[str(step.kind)] += step.removed
        except ReceiverError as error:
            return str(error)
        return None

    tries = stage.until_done(run)
    words = ", ".join(f"{number} {kind}" for kind, number in removed.items() if number) or "nothing"
    return f"removed as if {LATER_DAYS} days later: {words}{tries}"


KINDS: dict[str, Callable[[Stage], str]] = {
    "retention": retention,
    "forgeries": forgeries,
    "slow-senders": slow_senders,
    "kill": kill,
    "database": database_gone,
    "bank-down": bank_down,
    "rotation": rotation,
    "disk-full": disk_full,
    "clock": clock_step,
    "replays": replays,
}
"""Every kind of fault, by its name on the command line."""

HOURS = {
    "clock": "07:00",
    "forgeries": "08:20",
    "slow-senders": "09:20",
    "kill": "10:20",
    "database": "11:20",
    "disk-full": "12:40",
    "rotation": "14:00",
    "retention": "15:20",
    "replays": "17:00",
    "bank-down": "19:00",
}
"""When each comes where one asks for all: amid the business day, one after the other.

The banks are down last, and their clocks wrong first: a bank that is just back is asked little by little for five
minutes, which no day is squeezed by, and what is late can't be confirmed meanwhile.
"""


@dataclass(frozen=True)
class Fault:
    """One fault and when it begins, in seconds after midnight."""

    kind: str
    at: float

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read `KIND@HH:MM`.

        Raises:
            ValueError: it is not written so, with a text that says why.
        """
        kind, mark, hour = text.partition("@")
        if kind not in KINDS:
            raise ValueError(f"{kind!a} is no kind of fault; there are {', '.join(KINDS)}")
        return cls(kind, seconds_of(hour if mark else HOURS[kind]))


def all_faults() -> list[Fault]:
    """Return one of each kind, at their usual hours."""
    return [Fault(kind, seconds_of(hour)) for kind, hour in HOURS.items()]


def seconds_of(hour: str) -> float:
    """Read `HH:MM`.

    Raises:
        ValueError: it is not written so.
    """
    try:
        parsed = time.strptime(hour, "%H:%M")
    except ValueError:
        raise ValueError(f"{hour!a} is no hour such as 10:30") from None
    return float(parsed.tm_hour * 3600 + parsed.tm_min * 60)


@dataclass
class Happened:
    """What became of one fault; times are seconds since the start, `state` is `done`, `left out` or `failed`."""

    fault: Fault
    began: float
    ended: float
    state: str = "done"
    said: str = ""


class Director:
    """Starts each fault at its time."""

    def __init__(self, stage: Stage, wanted: list[Fault], seconds: float) -> None:
        """Take what is to happen; the day lasts for so many seconds."""
        self._stage = stage
        self._wanted = sorted(wanted, key=lambda fault: fault.at)
        self._second = seconds / DAY_SECONDS
        self._threads: list[threading.Thread] = []
        self.happened: list[Happened] = []

    @property
    def is_over(self) -> bool:
        """Whether all have begun and ended."""
        return not self._wanted and not any(thread.is_alive() for thread in self._threads)

    @property
    def acting(self) -> list[str]:
        """The kinds that are at work now."""
        return [thread.name for thread in self._threads if thread.is_alive()]

    def start_due(self, now: float) -> None:
        """Start what is due."""
        while self._wanted and self._wanted[0].at * self._second <= now:
            fault = self._wanted.pop(0)
            thread = threading.Thread(target=self._run, args=[fault], name=fault.kind, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End all of them, each put right."""
        self._stage.ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self, fault: Fault) -> None:
        began = self._stage.traffic.now()
        state, said = "done", ""
        try:
            said = KINDS[fault.kind](self._stage)
        except LeftOut as why:
            state, said = "left out", str(why)
        except Exception as error:
            # Whatever it is, the report has to say that this fault was none.
            state, said = "failed", f"{type(error).__name__}: {error}"
        self.happened.append(Happened(fault, began, self._stage.traffic.now(), state, said))


def length_seconds(seconds: float) -> float:
    """Return how long a fault lasts in a rehearsal of so many seconds: a thirtieth, from 2 to 30 s."""
    return min(30.0, max(2.0, seconds / 30))
