"""Payments and jobs: ask the bank about one at once, also about one that no callback named."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from receiver.admin.audit import note
from receiver.model import NotFound, NotPossible, Purpose, SubjectKind
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import claims, events, exceptions, payments
from receiver.store.database import retried
from receiver.store.events import EventRecord, Filter
from receiver.store.exceptions import ExceptionRecord
from receiver.store.payments import CheckRecord, NextCheck, SubjectRecord
from receiver.store.sources import SourceRecord

if TYPE_CHECKING:
    from receiver.reconcile.plan import NextChecks

ID_CHARACTERS_MAX = 200
"""As long as an id in a callback may be."""


def check(runtime: Runtime, who: str, source_name: str, subject: str, kind: SubjectKind = SubjectKind.PAYMENT) -> None:
    """Ask the bank about a payment or job now, due or not (reconciliation on demand).

    One that nobody has named before is written down, and asked for again only where the bank knows of it. What the bank
    said, or why it said nothing, is the latest of its checks afterwards. Audited as `payment.checked` or `job.checked`.

    Raises:
        NotFound: there is no such source.
        NotPossible: the id is none, or the bank was not asked.
        StoreUnavailable
    """
    # Imported here: they bring the banks' clients, which no look at what is stored needs.
    from receiver.admin import sources
    from receiver.banks import urls
    from receiver.reconcile import hindrances
    from receiver.reconcile.checks import Reconciler

    if not subject or len(subject) > ID_CHARACTERS_MAX or not subject.isprintable():
        raise NotPossible(f"an id has 1 to {ID_CHARACTERS_MAX} characters that can be printed")
    catch_up(runtime.database)
    with runtime.database.read() as connection:
        source = sources.named(connection, source_name)
        found = payments.find(connection, source_name, kind, subject)
        reason = hindrances.nobody_to_ask(connection, source, kind, subject)
    if reason is None and urls.has_dots(subject):
        reason = f"{subject!r} can't stand in the path of a request"
    if reason is not None:
        # What nobody has named would be left behind, never to be confirmed.
        raise NotPossible(f"the bank was not asked: {reason}")
    if found is None:
        found = _written_down(runtime, source, kind, subject)
    if not Reconciler(runtime).check_now(found.id):
        raise NotPossible(f"the bank was not asked: {hindrances.reason(runtime, found)}")
    about = {"source": source_name, str(kind): subject}
    if kind == SubjectKind.JOB:
        note(runtime, who, "job.checked", about)
    else:
        note(runtime, who, "payment.checked", about)


@retried
def _written_down(runtime: Runtime, source: SourceRecord, kind: SubjectKind, subject: str) -> SubjectRecord:
    with runtime.database.write() as connection:
        claims.ask_about(connection, [(source.id, kind, subject)], runtime.clock(), Purpose.PERSON)
        found = payments.find(connection, source.name, kind, subject)
    assert found is not None  # noqa: S101 - it was written above
    return found


def listing(
    runtime: Runtime,
    kind: SubjectKind,
    *,
    names: Sequence[str] = (),
    statuses: Sequence[str] = (),
    agreements: Sequence[str] = (),
    stalled: bool | None = None,
    below: int | None = None,
    limit: int,
) -> list[SubjectRecord]:
    """Return payments or jobs, the latest known first; `names` are sources, `below` is the number to go on from.

    Raises:
        StoreUnavailable
    """
    catch_up(runtime.database)
    with runtime.database.read() as connection:
        return payments.listing(
            connection,
            kind,
            names=names,
            statuses=statuses,
            agreements=agreements,
            stalled=stalled,
            below=below,
            limit=limit,
        )


def next_checks(runtime: Runtime) -> Callable[[SubjectRecord], NextCheck]:
    """Return what tells of each payment or job of a list when and why the bank is asked next (`plan.NextChecks`).

    It raises `StoreUnavailable`.
    """

    @cache
    def plan() -> "NextChecks":
        # Imported here: it brings the banks' clients, which an empty list does without.
        from receiver.reconcile.plan import NextChecks

        return NextChecks(runtime)

    return lambda found: plan().of(found)


PART = 500
"""Payments whose checks are read at a time."""


def each_with_checks(
    runtime: Runtime, found: Iterable[SubjectRecord]
) -> Iterator[tuple[SubjectRecord, list[CheckRecord]]]:
    """Go through payments or jobs of a list, each with every check made of it, oldest first.

    Raises:
        StoreUnavailable
    """
    rows = iter(found)
    while part := list(islice(rows, PART)):
        while part:
            with runtime.database.read() as connection:
                checks = payments.checks_of_each(connection, [row.id for row in part])
            yield from zip(part, checks, strict=False)
            part = part[len(checks) :]


EVENTS_MAX = 50
"""Of one payment or job that are shown, the latest; no bank sends more."""


@dataclass(frozen=True)
class Around:
    """What there is around a payment or job besides its checks."""

    events: Sequence[EventRecord]
    """Newest first."""
    exceptions: Sequence[ExceptionRecord]


def around(runtime: Runtime, found: SubjectRecord) -> Around:
    """Return the events about a payment or job, and what a person has to look at.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        about: list[EventRecord] = []
        if found.kind == SubjectKind.PAYMENT:
            wanted = Filter(sources=[found.source], payment_ids=[found.subject])
            about = events.listing(connection, wanted, below=None, limit=EVENTS_MAX)
        elif found.last_event_id is not None:
            about = events.by_ids(connection, [found.last_event_id])
        open_ = exceptions.of_subject(connection, found.source_id, [(str(found.kind), found.subject)])
        return Around(about, open_)


def with_checks(
    runtime: Runtime, source_name: str, subject: str, kind: SubjectKind = SubjectKind.PAYMENT
) -> tuple[SubjectRecord, list[CheckRecord], NextCheck]:
    """Return a payment or job, every check made of it, oldest first, and when and why the bank is asked next.

    Raises:
        NotFound
        StoreUnavailable
    """
    # Imported here: it brings the banks' clients, which an empty list does without.
    from receiver.admin import sources

    catch_up(runtime.database)
    with runtime.database.read() as connection:
        found = payments.find(connection, source_name, kind, subject)
        if found is None:
            sources.named(connection, source_name)
            raise NotFound(f"there is no {kind} {subject!r} of {source_name!r}")
        checks = payments.checks_of(connection, found.id)
    return found, checks, next_checks(runtime)(found)
