"""Deliveries that fit no known secret while the bank may be signing with one that is not known yet."""

from dataclasses import dataclass
from datetime import datetime

from receiver.signing.errors import Refusal
from receiver.store import credential_changes, kept
from receiver.store.database import ANSWER_SECONDS, Database
from receiver.store.told import NewDelivery

UNRESOLVED = "rotation_unresolved"

_NO_SECRET_FITS = frozenset({"signature_mismatch", "secret_not_set"})


@dataclass(frozen=True)
class PutOff:
    """A delivery to be answered 503, and the refusal with which it is kept, unless it is kept already."""

    refusal: Refusal
    is_kept: bool


def put_off(database: Database, delivery: NewDelivery, refusal: Refusal, now: datetime) -> PutOff | None:
    """Return how to put a delivery off that fits no secret; none where the verdict stands.

    It looks at the database itself: what a process remembers of a source may be older than the change.

    Raises:
        StoreUnavailable
    """
    if refusal.proven or refusal.reason not in _NO_SECRET_FITS:
        return None
    with database.read(ANSWER_SECONDS) as connection:
        if not credential_changes.secrets_may_be_newer(connection, delivery.source_id, now):
            return None
        is_kept = kept.is_kept(connection, delivery, UNRESOLVED)
    unresolved = Refusal(UNRESOLVED, f"{refusal.detail}, while the secrets are being changed at the bank")
    return PutOff(unresolved, is_kept)
