"""The tables, by subject. A column is explained where its name alone does not."""

from receiver.store.tables.alarms import AlarmProgress
from receiver.store.tables.apps import ApiToken, Consumer, ConsumerRange, FeedEntry, FeedHead, OutboxEntry, PendingEvent
from receiver.store.tables.base import metadata, table_of
from receiver.store.tables.events import Check, Delivery, Event, HeldEvent, Repeat, Subject
from receiver.store.tables.exceptions import StaffException
from receiver.store.tables.people import SignInFailures, StaffForm, StaffSession, StaffUser
from receiver.store.tables.reconciliation import BankLine
from receiver.store.tables.replays import Replay, ReplayPosition
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
    CredentialChange,
    PublicKeys,
    RequestBudget,
    SigningSecret,
    Source,
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
    "Consumer",
    "ConsumerRange",
    "CredentialChange",
    "Delivery",
    "Event",
    "Facets",
    "FeedEntry",
    "FeedHead",
    "HeldEvent",
    "OutboxEntry",
    "PendingEvent",
    "PublicKeys",
    "Repeat",
    "Replay",
    "ReplayPosition",
    "RequestBudget",
    "SearchBlock",
    "SearchConflict",
    "SearchEvent",
    "SearchKey",
    "SearchProgress",
    "SignInFailures",
    "SigningSecret",
    "Source",
    "StaffException",
    "StaffForm",
    "StaffSession",
    "StaffUser",
    "Subject",
    "Tally",
    "WorkerSeen",
    "metadata",
    "table_of",
]
