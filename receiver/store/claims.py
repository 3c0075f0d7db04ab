"""What callbacks claim of payments and jobs: kept beside what the bank answers, and reason to ask it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.store.insertion import Insertion
from receiver.store.tables import Subject, table_of

SUBJECT_KINDS = ("payment", "job", "reference")
"""What the bank can be asked about."""

# A claim that it is pending takes back no other one, and neither does one that the bank told earlier. Where either
# time is not known that comparison is NULL, which is not true: then the order of receipt counts.
_make_due = Insertion(
    table_of(Subject),
    [
        *("source_id", "kind", "subject", "claimed_status", "amount", "currency", "last_event_id", "created_at"),
        *("claimed_at", "status", "agreement", "updated_at", "due_at", "attempts"),
    ],
    unique=["source_id", "kind", "subject"],
    otherwise="""
        claimed_status = CASE
            WHEN excluded.claimed_status IS NULL THEN subjects.claimed_status
            WHEN excluded.claimed_status = 'pending' THEN coalesce(subjects.claimed_status, 'pending')
            WHEN excluded.claimed_at < subjects.claimed_at THEN subjects.claimed_status
            ELSE excluded.claimed_status
        END,
        claimed_at = CASE
            WHEN excluded.claimed_status IS NULL THEN subjects.claimed_at
            WHEN excluded.claimed_status = 'pending' AND subjects.claimed_status IS NOT NULL THEN subjects.claimed_at
            WHEN excluded.claimed_at < subjects.claimed_at THEN subjects.claimed_at
            ELSE excluded.claimed_at
        END,
        last_event_id = excluded.last_event_id, due_at = excluded.due_at, attempts = 0
    """,
)


class NewClaim(NamedTuple):
    """What a new event says of what it is about."""

    source_id: int
    kind: str
    subject: str
    status: str | None
    amount: str | None
    currency: str | None
    event_id: str
    at: datetime
    told_at: datetime | None = None
    """When the bank told it, where that orders its claims."""


def make_due(connection: Connection, claims: Sequence[NewClaim]) -> None:
    """Note claims in the order in which they came, and make what they are about due at once."""
    rounds: list[dict[tuple[int, str, str], NewClaim]] = []
    for claim in claims:
        key = claim[:3]
        # One statement must not meet the same row twice.
        free = next((subjects for subjects in rounds if key not in subjects), None)
        if free is None:
            rounds.append(free := {})
        free[key] = claim
    for subjects in rounds:
        # In one order for all writers, so that no two ever wait for each other in a circle.
        _make_due.run(connection, [_row(subjects[key]) for key in sorted(subjects)])


def _row(claim: NewClaim) -> tuple[object, ...]:
    return (*claim, "unknown", "unconfirmed", claim.at, claim.at, 0)
