"""Why a bank is not asked, or was not asked about a payment or job: in one sentence for each reason."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.bank_client import circuit
from receiver.bank_client.session import budget_of
from receiver.bank_client.shared_token import FETCHING
from receiver.model import SubjectKind
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import bank_tokens, circuits, credential_changes, events, payments, sources
from receiver.store.credential_changes import ChangeRecord
from receiver.store.payments import SubjectRecord
from receiver.store.records import SKEW
from receiver.store.sources import SourceRecord


def reason(runtime: Runtime, found: SubjectRecord) -> str:
    """Return in words what keeps the bank from being asked about it by a person, as it stands now.

    Raises:
        StoreUnavailable
    """
    now, settings = runtime.clock(), runtime.settings
    with runtime.database.read() as connection:
        source = sources.with_id(connection, found.source_id)
        leased_until = payments.leased_until(connection, found.id)
        return (
            out_of_use(source)
            or _leased(leased_until, now, timedelta(seconds=settings.lease_seconds))
            or next((words for _, words in of_source(connection, settings, source, now, is_person=True)), None)
            or "a worker has asked just now, and its answer is the latest of the checks; or the log says what failed"
        )


def of_source(
    connection: Connection, settings: Settings, source: SourceRecord, now: datetime, *, is_person: bool = False
) -> list[tuple[datetime | None, str]]:
    """Return what keeps a source's bank from being asked: until when (UTC), none where nobody knows, and why.

    A person (`is_person`) need not wait for the next try at a bank that is down.
    """
    if missing := banks.missing_bank(source):
        return [(None, missing)]
    found: list[tuple[datetime | None, str]] = []
    if not source.enabled:
        found.append((None, f"source {source.name} is not enabled"))
    if not source.has_credentials:
        found.append((None, f"source {source.name} has no API credentials to ask with"))
    budget = budget_of(connection, source, now)
    if words := budget.hindrance(source.name):
        found.append((budget.blocked_until or budget.ends_at, words))
    state = circuits.find(connection, source.id)
    state = state.for_person() if is_person else state
    if until := state.next_at(now, circuit.longest(settings)):
        found.append((until, circuit.words_of(source, state, until)))
    if (change := credential_changes.pending(connection, source.id)) is not None:
        found.append((change.due_at, _changing(source, change)))
    if is_person and bank_tokens.is_being_fetched(connection, source.id, now, FETCHING):
        found.append((now + FETCHING, f"an access token of {source.name} is being fetched just now"))
    return found


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


def _leased(until: datetime | None, now: datetime, longest: timedelta) -> str | None:
    if until is None or not now < until <= now + longest + SKEW:
        return None
    return f"a worker is asking about it just now (its lease ends by {until:%Y-%m-%d %H:%M:%S} UTC)"


def _changing(source: SourceRecord, change: ChangeRecord) -> str:
    words = f"the API credentials of {source.name} are being changed ({change.kind})"
    return f"{words}; `receiver doctor {source.name}` says how that stands"
