"""After a change: the deliveries that were held back meanwhile are verified anew, with the secrets known by now."""

import logging
from typing import Any

from sqlalchemy import Row

from receiver.inbox import reverify
from receiver.inbox.inbox import UNRESOLVED
from receiver.runtime import Runtime
from receiver.store import credential_changes, deliveries
from receiver.store.credential_changes import SECRETS_SEEN

log = logging.getLogger(__name__)

PART = 50
"""Deliveries of one change that are verified before others have their turn."""


def settle_due(runtime: Runtime) -> int:
    """Settle what changes that are over have left; return how many deliveries were dealt with. Any number may.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        over = credential_changes.unsettled(connection)
    return sum(_settle(runtime, change) for change in over)


def _settle(runtime: Runtime, change: Row[Any]) -> int:
    with runtime.database.read() as connection:
        is_pending = credential_changes.pending(connection, change.source_id) is not None
        rows = deliveries.held_of_source(connection, change.source_id, UNRESOLVED, limit=PART)
    accepted = {row.id for row in rows if reverify.verify_stored(runtime, row.id)}
    left = [row.id for row in rows if row.id not in accepted]
    if accepted:
        log.info("%s deliveries that were kept during a change of credentials are accepted", len(accepted))
    # More may be stored for a moment, by processes that do not know yet that the change is over.
    is_over = runtime.clock() - change.finished_at > 2 * SECRETS_SEEN
    with runtime.database.write() as connection:
        if not is_pending:
            deliveries.give_reason(connection, left, "signature_mismatch")
        if is_over and (is_pending or len(rows) < PART):
            credential_changes.change_values(connection, change.id, settled_at=runtime.clock())
    return len(accepted) if is_pending else len(rows)
