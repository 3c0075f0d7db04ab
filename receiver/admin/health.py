"""How each source is, and how much has come of late: what the overview and the page of a source show."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.admin import consumers, exceptions, standing
from receiver.admin.consumers import Standing
from receiver.admin.sources import check_bank
from receiver.admin.standing import SourceState
from receiver.bank_client.session import BankSession
from receiver.banks import tls
from receiver.banks.abilities import PresentsCertificate
from receiver.banks.callback import LEAVES_OPEN, strongest_proof
from receiver.banks.errors import BankError
from receiver.metrics.base import AnswerTimes, answer_times
from receiver.model import SecretState, Verdict
from receiver.reconcile.give_up import give_up
from receiver.runtime import Runtime
from receiver.store import events, feed, late, payments, public_keys, refusals, signing_secrets, sources, workers
from receiver.store.encryption import DecryptionFailed
from receiver.store.payments import CheckMade
from receiver.store.public_keys import StoredKeys
from receiver.store.records import SKEW
from receiver.store.signing_secrets import SecretVersion
from receiver.store.sources import SourceRecord
from receiver.worker.watches import quiet_warning

MINUTES = 60
"""How far back callbacks are counted."""

COUNTED_MAX = 20_000
"""Callbacks that are counted: where more came, the chart is of the newest."""

CHECKS_LOOKED_AT = 500
"""The newest, of all sources together: for the last success."""

CONSUMERS_SHOWN = 50


@dataclass(frozen=True)
class SourceHealth:
    """How one source is; times are UTC."""

    source: SourceRecord
    proof: str
    """The strength of what its callbacks are proven by."""
    leaves_open: str
    last_event_at: datetime | None
    """When a callback told something new last; what a clock that was ahead has dated does not count."""
    last_answer_at: datetime | None
    """When its bank answered last, as far as the newest checks tell."""
    last_check: CheckMade | None
    budget: SourceState
    spent_on: Mapping[str, int]
    """Requests of the present window by what they were made for."""
    secrets: Sequence[SecretVersion]
    needs_secret: bool
    public_keys: StoredKeys
    late: int
    """Late deliveries that wait."""
    quiet: str | None
    """In words that no callback came for too long."""
    gives_up: str | None
    """In words when its bank stops sending, at the earliest, because what it sends is refused; none where it won't."""

    @property
    def secret(self) -> SecretVersion | None:
        """The current version of its secret."""
        return next((each for each in self.secrets if each.expires_at is None), None)


@dataclass(frozen=True)
class Minute:
    """Deliveries that came within one minute and are stored, by what became of them; identical repeats are not."""

    at: datetime
    numbers: Mapping[Verdict, int]


@dataclass(frozen=True)
class Overview:
    """How everything is just now."""

    minutes: Sequence[Minute]
    """Of the last hour, oldest first."""
    is_whole: bool
    """Whether all stored deliveries of that time were counted."""
    position: int
    """The last one of the feed."""
    consumers: Sequence[Standing]
    unresolved: exceptions.Counted
    """How much needs a person."""
    answers: AnswerTimes | None
    """How fast callbacks are answered; none where none was counted yet."""
    worker_seen_at: datetime | None
    is_worker_there: bool
    sources: Sequence[SourceHealth]


def overview(runtime: Runtime) -> Overview:
    """Return how everything is just now, at a cost that is bounded however much there is.

    Raises:
        StoreUnavailable
    """
    unresolved = exceptions.unresolved(runtime)
    reading = consumers.listing(runtime, limit=CONSUMERS_SHOWN)
    now = runtime.clock()
    with runtime.database.read() as connection:
        arrived = refusals.arrived(connection, now - timedelta(minutes=MINUTES), limit=COUNTED_MAX)
        seen_at = workers.last_seen(connection)
        made = payments.latest_checks(connection, limit=CHECKS_LOOKED_AT)
        return Overview(
            minutes=_minutes(arrived, now),
            is_whole=len(arrived) < COUNTED_MAX,
            position=feed.head(connection),
            consumers=reading,
            unresolved=unresolved,
            answers=answer_times(runtime.counters),
            worker_seen_at=seen_at,
            is_worker_there=seen_at is not None and workers.is_there(seen_at, now),
            sources=[
                _of(connection, runtime, source, made, now)
                for source in banks.with_known_banks(sources.shown(connection))
            ],
        )


def _minutes(arrived: Sequence[tuple[datetime, Verdict]], now: datetime) -> list[Minute]:
    first = (now - timedelta(minutes=MINUTES - 1)).replace(second=0, microsecond=0)
    counted: dict[datetime, Counter[Verdict]] = {}
    for at, verdict in arrived:
        counted.setdefault(at.replace(second=0, microsecond=0), Counter())[verdict] += 1
    minutes = (first + timedelta(minutes=number) for number in range(MINUTES))
    return [Minute(minute, counted.get(minute, Counter())) for minute in minutes]


def every(runtime: Runtime) -> list[SourceHealth]:
    """Return how all sources are that were not removed, by name.

    Raises:
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.read() as connection:
        made = payments.latest_checks(connection, limit=CHECKS_LOOKED_AT)
        return [
            _of(connection, runtime, source, made, now) for source in banks.with_known_banks(sources.shown(connection))
        ]


def of_source(runtime: Runtime, name: str) -> SourceHealth:
    """Return how one source is.

    Raises:
        NotFound
        NotPossible: it was removed, or this release does not know its bank.
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        (source,) = standing.chosen(connection, name)
        check_bank(source)
        made = payments.latest_checks(connection, limit=CHECKS_LOOKED_AT)
        return _of(connection, runtime, source, made, runtime.clock())


def _of(
    connection: Connection, runtime: Runtime, source: SourceRecord, made: Sequence[CheckMade], now: datetime
) -> SourceHealth:
    bank = banks.named(source.bank)
    proof = strongest_proof(bank.proofs(source.options))
    stands = standing.of_source(connection, runtime.settings, source, now)
    own = [check for check in made if check.source_id == source.id]
    return SourceHealth(
        source=source,
        proof=proof,
        leaves_open=LEAVES_OPEN[proof],
        last_event_at=events.latest(connection, source.id, now + SKEW),
        last_answer_at=next((check.at for check in own if check.outcome == "answered"), None),
        last_check=own[0] if own else None,
        budget=stands,
        spent_on={str(purpose): number for purpose, number in stands.requests_spent.items()},
        secrets=signing_secrets.versions(connection, source.id),
        needs_secret=bank.needs_secret(source.options),
        public_keys=public_keys.stored(connection, runtime.encryption, source),
        late=late.waiting(connection, source.id),
        quiet=quiet_warning(connection, source, now) if source.enabled else None,
        gives_up=None if (found := give_up(connection, source, now)) is None else found.words,
    )


def valid_secrets(found: SourceHealth, now: datetime) -> int:
    """Return how many versions of a source's secret prove callbacks at `now` (UTC)."""
    return sum(each.state(now) != SecretState.EXPIRED for each in found.secrets)


def certificate(runtime: Runtime, source: SourceRecord) -> tuple[str, str] | None:
    """Return how a source's client certificate stands, `ok`, `warn` or `fail`, and in words how long it is good.

    None where its bank wants none, or none was given. To open it takes some time.

    Raises:
        StoreUnavailable
    """
    session = BankSession(runtime, source)
    if not isinstance(session.bank, PresentsCertificate) or not source.has_credentials:
        return None
    try:
        presented = session.certificate()
        return None if presented is None else tls.expiry(presented.leaf(), runtime.clock())
    except (BankError, DecryptionFailed) as error:
        return "fail", str(error)
