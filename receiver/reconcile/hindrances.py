"""Why a bank was not asked about a payment or job: in one sentence for each reason."""

from datetime import datetime

from sqlalchemy import Connection, select

from receiver import banks
from receiver.bank_client.session import budget_of
from receiver.model import SubjectKind
from receiver.runtime import Runtime
from receiver.store import credential_changes, events, sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import Subject, table_of

_subjects = table_of(Subject)


def reason(runtime: Runtime, subject_id: int) -> str:
    """Return in words what keeps the bank from being asked, as it stands now.

    Raises:
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.read() as connection:
        row = connection.execute(select(_subjects).where(_subjects.c.id == subject_id)).one()
        source = next(source for source in sources.every(connection) if source.id == row.source_id)
        return (
            out_of_use(source)
            or _leased(row.leased_until, now)
            or budget_of(connection, source, now).hindrance(source.name)
            or _changing(connection, source)
            or "a worker has asked just now; its answer is the latest of the checks"
        )


def out_of_use(source: SourceRecord) -> str | None:
    """Return in words why nothing is asked for a source at all; none where it is in use."""
    if source.hidden_at is not None:
        return f"source {source.name} was removed"
    if not source.enabled:
        return f"source {source.name} is disabled; `receiver source enable {source.name}` enables it"
    return banks.missing_bank(source)


def nobody_to_ask(connection: Connection, source: SourceRecord, kind: SubjectKind, subject: str) -> str | None:
    """Return in words why nobody can be asked about a payment or job as the source is set; none where a bank can."""
    if reason := out_of_use(source):
        return reason
    facts = events.facts_about(connection, source.id, subject)
    if reason := banks.named(source.bank).why_unasked(kind, source.options, facts):
        return reason
    if not source.has_credentials:
        return f"source {source.name} has no API credentials; `receiver source credentials {source.name}` sets them"
    return None


def _leased(until: datetime | None, now: datetime) -> str | None:
    if until is None or until <= now:
        return None
    return f"a worker is asking about it just now (its lease ends by {until:%Y-%m-%d %H:%M:%S} UTC)"


def _changing(connection: Connection, source: SourceRecord) -> str | None:
    change = credential_changes.pending(connection, source.id)
    if change is None:
        return None
    words = f"the API credentials of {source.name} are being changed ({change.kind})"
    return f"{words}; `receiver doctor {source.name}` says how that stands"
