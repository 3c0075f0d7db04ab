"""Any call of ConnectPay's API by a person or an app: a partner's with the key of the source, or a user's own."""

import time
from collections.abc import Mapping
from typing import Any

from receiver.admin import sources
from receiver.admin.audit import note
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.connectpay import BANK, Call, User
from receiver.model import NotPossible, Purpose
from receiver.runtime import Runtime

WAIT_SECONDS_MAX = 2.0
"""The bank takes two requests a second: whoever asks for one call waits its turn, and no longer than that."""

TRIES = 5


def make(runtime: Runtime, who: str, source_name: str, wanted: Call, user: User | None = None) -> Any:
    """Make one call and return the parsed JSON of its answer, or None where that is empty.

    It goes to the API of the source's bank alone, within its limit on requests. Audited as `connectpay.called` before
    it is made, without body and query: what it does at the bank can't be taken back.

    Raises:
        NotFound
        NotPossible: the source is another bank's, disabled or removed.
        CallWrong: the path leads elsewhere, or method and body do not go together. Nothing is sent.
        UserNeeded: it is a user's call without one, or a partner's with one. Nothing is sent.
        BankError
        BudgetSpent
        DecryptionFailed
        StoreUnavailable
    """
    source = sources.find(runtime, source_name)
    if source.bank != BANK.name:
        raise NotPossible(f"{source_name} is a source of {source.bank}, not of {BANK.name}")
    if not source.enabled:
        raise NotPossible(f"source {source_name} is disabled; `receiver source enable {source_name}` enables it")
    wanted.check(user, runtime.clock())
    about: Mapping[str, Any] = {"source": source_name, "method": wanted.method, "path": wanted.path.partition("?")[0]}
    note(runtime, who, "connectpay.called", {**about, "as_user": user is not None})
    session = BankSession(runtime, source, Purpose.PERSON)
    for _ in range(TRIES):
        try:
            return session.ask(lambda client: wanted.make(client, user))
        except BudgetSpent as spent:
            wait = (spent.until - runtime.clock()).total_seconds()
            if wait > WAIT_SECONDS_MAX:
                raise
            time.sleep(max(wait, 0))
    return session.ask(lambda client: wanted.make(client, user))
