"""The tables, by subject. A column is explained where its name alone does not."""

from receiver.store.tables.alarms import AlarmProgress
from receiver.store.tables.apps import ApiToken, Consumer, ConsumerRange, FeedEntry, FeedHead, OutboxEntry, PendingEvent
from receiver.store.tables.base import metadata, table_of
from receiver.store.tables.events import Check, Delivery, Event, HeldEvent, Repeat, Subject
from receiver.store.tables.exceptions import StaffException
from receiver.store.tables.people import SignInFailures, StaffForm, StaffSession, StaffUser
from receiver.store.tables.reconciliation import BankLine, DayHead, DayLines, DayVersion, Recovery, Sweep
from receiver.store.tables.replays import Replay, ReplayPosition
from receiver.store.tables.retention import EventHold, RetentionLeft, RetentionProgress, RetentionTurn
from receiver.store.tables.search import (
    Facets,
    SearchBlock,
    SearchConflict,
    SearchEvent,
    SearchKey,
    SearchProgress,
)
from receiver.store.tables.sources import (
    BankToken,
    Circuit,
    CredentialChange,
    Outage,
    PublicKeys,
    RequestBudget,
    RequestSpending,
    SigningSecret,
    Source,
    SourceWatch,
    WorkerSeen,
)
from receiver.store.tables.staff import AuditEntry, AuditHead, AuditKey, AuditSubject
from receiver.store.tables.tallies import Tally

__all__ = [
    "AlarmProgress",
    "ApiToken",
    "AuditEntry",
    "AuditHead",
    "AuditKey",
    "AuditSubject",
    "BankLine",
    "BankToken",
    "Check",
    "Circuit",
    "Consumer",
    "ConsumerRange",
    "CredentialChange",
    "DayHead",
    "DayLines",
    "DayVersion",
    "Delivery",
    "Event",
    "EventHold",
    "Facets",
    "FeedEntry",
    "FeedHead",
    "HeldEvent",
    "Outage",
    "OutboxEntry",
    "PendingEvent",
    "PublicKeys",
    "Recovery",
    "Repeat",
    "Replay",
    "ReplayPosition",
    "RequestBudget",
    "RequestSpending",
    "RetentionLeft",
    "RetentionProgress",
    "RetentionTurn",
    "SearchBlock",
    "SearchConflict",
    "SearchEvent",
    "SearchKey",
    "SearchProgress",
    "SignInFailures",
    "SigningSecret",
    "Source",
    "SourceWatch",
    "StaffException",
    "StaffForm",
    "StaffSession",
    "StaffUser",
    "Subject",
    "Sweep",
    "Tally",
    "WorkerSeen",
    "metadata",
    "table_of",
]
