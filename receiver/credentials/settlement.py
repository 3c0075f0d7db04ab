"""After a change: the deliveries that were kept meanwhile are verified again, with the secrets known by now."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from receiver.inbox import reverify
from receiver.inbox.inbox import UNRESOLVED
from receiver.runtime import Runtime
from receiver.store import credential_changes, deliveries
from receiver.store.credential_changes import SECRETS_SEEN, ChangeRecord
from receiver.store.deliveries import DeliveryRecord

log = logging.getLogger(__name__)

PART = 50


@dataclass(frozen=True)
class Settlement:
    """Verifies kept deliveries again; any number of workers may."""

    runtime: Runtime

    def settle_due(self) -> int:
        """Settle what changes that are over have left; return how many deliveries were dealt with.

        Raises:
            StoreUnavailable
        """
        with self.runtime.database.read() as connection:
            over = credential_changes.unsettled(connection)
        return sum(self._settle(change) for change in over)

    def _settle(self, change: ChangeRecord) -> int:
        with self.runtime.database.read() as connection:
            is_pending = credential_changes.pending(connection, change.source_id) is not None
            rows = deliveries.rejected_for(connection, change.source_id, UNRESOLVED, limit=PART)
        accepted = self.verify(rows)
        left = [row for row in rows if row.id not in accepted]
        if accepted:
            log.info("%s deliveries that were kept during a change of credentials are accepted", len(accepted))
        # More may be kept for a moment, by processes that do not know yet that the change is over.
        since = change.finished_at
        is_over = since is not None and self.runtime.clock() - since > 2 * SECRETS_SEEN
        with self.runtime.database.write() as connection:
            if not is_pending:
                deliveries.set_reason(connection, [row.id for row in left], "signature_mismatch")
            if is_over and (is_pending or len(rows) < PART):
                credential_changes.change_values(connection, change.id, settled_at=self.runtime.clock())
        return len(accepted) if is_pending else len(rows)

    def verify(self, rows: Sequence[DeliveryRecord]) -> set[str]:
        """Verify rejected deliveries again; return the ids of those that are accepted by now.

        Each has a transaction of its own: two writers with several deliveries in common can't wait in a circle then.

        Raises:
            StoreUnavailable
        """
        accepted = set()
        for row in rows:
            with self.runtime.database.write() as connection:
                locked = deliveries.lock_rejected(connection, row.id)
                if locked is not None and reverify.verify(
                    connection, self.runtime.encryption, locked, self.runtime.clock()
                ):
                    accepted.add(row.id)
        return accepted
