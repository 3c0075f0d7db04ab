"""The gauges of `/metrics`: how everything stands just now, read at a cost that no table's length changes."""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from sqlalchemy import Connection, make_url

from receiver import banks
from receiver.bank_client.session import BankSession, budget_of
from receiver.banks.abilities import PresentsCertificate
from receiver.banks.errors import BankError
from receiver.metrics.names import Figure
from receiver.model import ExceptionState, SubjectKind
from receiver.reconcile.give_up import give_up
from receiver.runtime import Runtime
from receiver.store import feed, figures, sources, workers
from receiver.store.database import StoreUnavailable
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord

CERTIFICATES_EVERY = timedelta(minutes=1)
"""How often certificates are opened: that takes longer than all else."""


class Gauges:
    """Reads the gauges, in one process."""

    def __init__(self, runtime: Runtime) -> None:
        """Look at the certificate of HTTPS alone: a process serves the one that it has found at its start."""
        path = runtime.settings.tls_certificate
        self._served = None if path is None else _end_in(path)
        self._runtime = runtime
        self._ends: Mapping[str, datetime] = {}
        self._opened_at: datetime | None = None

    def read(self) -> list[Figure]:
        """Return every gauge that has a value; of a database that can't be read, that it is down."""
        found = list(_of_disk(self._runtime))
        try:
            found += self._of_database()
        except StoreUnavailable:
            return [*found, Figure("receiver_database_up", 0)]
        return [*found, Figure("receiver_database_up", 1)]

    def _of_database(self) -> list[Figure]:
        figures.put_together(self._runtime.database)
        now = self._runtime.clock()
        with self._runtime.database.read() as connection:
            shown = sources.shown(connection)
            found = [*_of_all(connection, now), *_counts(connection, shown), *_times(connection, shown, now)]
            known = banks.with_known_banks(shown)
            for source in known:
                found += _of_bank(connection, source, now)
        return [*found, *self._certificates(known, now)]

    def _certificates(self, known: list[SourceRecord], now: datetime) -> Iterator[Figure]:
        if self._opened_at is None or abs(now - self._opened_at) >= CERTIFICATES_EVERY:
            self._ends = dict(_certificate_ends(self._runtime, known))
            self._opened_at = now
        if self._served is not None:
            yield Figure("receiver_certificate_expires_seconds", (self._served - now).total_seconds(), [""])
        for name, ends in self._ends.items():
            yield Figure("receiver_certificate_expires_seconds", (ends - now).total_seconds(), [name])


def _of_all(connection: Connection, now: datetime) -> Iterator[Figure]:
    yield Figure("receiver_feed_position", feed.head(connection))
    seen_at = workers.last_seen(connection)
    if seen_at is not None:
        yield Figure("receiver_worker_last_round_seconds", _age(seen_at, now))
    for consumer in figures.consumer_lags(connection):
        yield Figure("receiver_consumer_lag_entries", consumer.entries, [consumer.name])
        age = 0.0 if consumer.since is None else _age(consumer.since, now)
        yield Figure("receiver_consumer_lag_seconds", age, [consumer.name])


def _counts(connection: Connection, known: list[SourceRecord]) -> Iterator[Figure]:
    names = {source.id: source.name for source in known}
    for row in figures.numbers(connection, "subjects"):
        if row.kind == SubjectKind.PAYMENT and row.source_id in names:
            yield Figure("receiver_payments", row.number, [names[row.source_id], row.state, row.agreement])
    unresolved: dict[tuple[str, str], int] = {}
    for row in figures.numbers(connection, "exceptions"):
        if row.source_id in names:
            key = (row.kind, names[row.source_id])
            number = 0 if row.state == ExceptionState.RESOLVED else row.number
            unresolved[key] = unresolved.get(key, 0) + number
    for labels, number in unresolved.items():
        yield Figure("receiver_exceptions", number, labels)


def _times(connection: Connection, known: list[SourceRecord], now: datetime) -> Iterator[Figure]:
    names = {source.id: source.name for source in known}
    for name, found in (
        ("receiver_last_callback_seconds", figures.last_callbacks(connection)),
        ("receiver_oldest_unconfirmed_seconds", figures.oldest_unconfirmed(connection)),
        ("receiver_secret_age_seconds", figures.current_secrets(connection)),
    ):
        for source_id, at in found.items():
            if source_id in names:
                yield Figure(name, _age(at, now), [names[source_id]])


def _of_bank(connection: Connection, source: SourceRecord, now: datetime) -> Iterator[Figure]:
    if source.has_credentials:
        budget = budget_of(connection, source, now)
        left = 0 if budget.blocked_until is not None else budget.left
        yield Figure("receiver_bank_budget_remaining", left, [source.name])
    ends = give_up(connection, source, now)
    if ends is not None and ends.at is not None:
        yield Figure("receiver_give_up_seconds", (ends.at - now).total_seconds(), [source.name])
    if ends is not None and ends.failures_left is not None:
        yield Figure("receiver_give_up_failures_left", ends.failures_left, [source.name])


def _certificate_ends(runtime: Runtime, known: list[SourceRecord]) -> Iterator[tuple[str, datetime]]:
    """Yield when the sources' own certificates end, of those that can be read."""
    for source in known:
        session = BankSession(runtime, source)
        if not isinstance(session.bank, PresentsCertificate) or not source.has_credentials:
            continue
        try:
            presented = session.certificate()
        except (BankError, DecryptionFailed):
            continue
        if presented is not None:
            yield source.name, presented.leaf().not_valid_after_utc


def _end_in(path: Path) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


def _of_disk(runtime: Runtime) -> Iterator[Figure]:
    if not runtime.database.is_sqlite:
        return
    try:
        found = os.statvfs(Path(str(make_url(runtime.database.url).database)).parent)
    except OSError:
        return
    yield Figure("receiver_disk_bytes", found.f_blocks * found.f_frsize)
    yield Figure("receiver_disk_free_bytes", found.f_bavail * found.f_frsize)


def _age(at: datetime, now: datetime) -> float:
    return max((now - at).total_seconds(), 0.0)
