"""Deliveries that fit no known secret while the bank may be signing with one that is not known yet."""

from datetime import datetime

from receiver.signing.errors import Refusal
from receiver.store import credential_changes
from receiver.store.database import Database

UNRESOLVED = "rotation_unresolved"

_NO_SECRET_FITS = frozenset({"signature_mismatch", "secret_not_set"})


def put_off(database: Database, source_id: int, refusal: Refusal, now: datetime) -> Refusal | None:
    """Return the refusal to keep such a delivery with, and to answer 503; none where the verdict stands.

    It looks at the database itself: what a process remembers of a source may be older than the change.

    Raises:
        StoreUnavailable
    """
    if refusal.proven or refusal.reason not in _NO_SECRET_FITS:
        return None
    with database.read() as connection:
        if not credential_changes.secrets_may_be_newer(connection, source_id, now):
            return None
    return Refusal(UNRESOLVED, f"{refusal.detail}, while the secrets are being changed at the bank")
