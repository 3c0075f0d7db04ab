"""Warning of client certificates that end soon, long before a bank refuses them."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver.bank_client.session import BankSession
from receiver.banks import tls
from receiver.banks.errors import BankError
from receiver.runtime import Runtime
from receiver.store import sources

log = logging.getLogger(__name__)

LOOKED_AT_EVERY = timedelta(hours=24)


@dataclass
class CertificateExpiry:
    """Looks at every enabled source's certificate, once a day in each process."""

    runtime: Runtime
    _next: datetime | None = field(default=None, init=False)

    def look(self) -> int:
        """Log what ends within 30 days, where a day has passed; it is no work that a worker waits for, so always 0.

        Raises:
            StoreUnavailable
            DecryptionFailed
        """
        now = self.runtime.clock()
        if self._next is not None and now < self._next:
            return 0
        self._next = now + LOOKED_AT_EVERY
        with self.runtime.database.read() as connection:
            known = [source for source in sources.every(connection) if source.enabled and source.has_credentials]
        for source in known:
            session = BankSession(self.runtime, source)
            try:
                presented = session.certificate()
                state, text = tls.expiry(presented.leaf(), now) if presented else ("ok", "")
            except BankError as error:
                state, text = "fail", str(error)
            if state != "ok":
                level = logging.ERROR if state == "fail" else logging.WARNING
                log.log(level, "the client certificate of %s: %s", source.name, text)
        return 0
