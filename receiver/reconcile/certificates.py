"""Warning of client certificates that end soon, long before a bank refuses them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver.banks import certificate
from receiver.banks.errors import BankError
from receiver.reconcile.access import BankAccess
from receiver.store import sources
from receiver.store.database import Database
from receiver.store.sealing import Sealer

log = logging.getLogger(__name__)

LOOKED_AT_EVERY = timedelta(hours=24)


@dataclass
class Watch:
    """Looks at every enabled source's certificate, once a day in each process."""

    database: Database
    sealer: Sealer
    clock: Callable[[], datetime]
    _next: datetime | None = field(default=None, init=False)

    def look(self) -> int:
        """Log what ends within 30 days, where a day has passed; it is no work that a worker waits for, so always 0.

        Raises:
            StoreUnavailable
            SealBroken
        """
        now = self.clock()
        if self._next is not None and now < self._next:
            return 0
        self._next = now + LOOKED_AT_EVERY
        with self.database.read() as connection:
            known = [source for source in sources.every(connection) if source.enabled and source.has_credentials]
        for source in known:
            access = BankAccess(self.database, self.sealer, source, clock=self.clock)
            try:
                presented = access.certificate()
                state, text = certificate.expiry(presented.leaf(), now) if presented else ("ok", "")
            except BankError as error:
                state, text = "fail", str(error)
            if state != "ok":
                level = logging.ERROR if state == "fail" else logging.WARNING
                log.log(level, "the client certificate of %s: %s", source.name, text)
        return 0
