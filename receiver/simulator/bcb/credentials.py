"""The desk that hands out credentials: answers are stored by idempotency key, old tokens may outlive a rotation."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Literal

from receiver.simulator.bcb.clients import Client

OldTokens = Literal["stored-answer", "kept", "revoked"]
"""What a token from before a rotation is still good for: to ask once more for a stored answer, all, or nothing.

The bank does not say. `stored-answer` is the strictest under which a lost answer can be asked for again.
"""

OLD_TOKENS: tuple[OldTokens, ...] = ("stored-answer", "kept", "revoked")

Stored = tuple[int, dict[str, object]]
"""A status and a body."""


class CredentialsDesk:
    """What was answered to which key, and how often something was really done."""

    def __init__(self) -> None:
        self.old_tokens: OldTokens = "stored-answer"
        self.done: Counter[str] = Counter()
        self._answers: dict[tuple[str, str], Stored] = {}
        # One at a time, so that the same key at the same moment does something once.
        self._lock = threading.Lock()

    def answer(self, call: str, key: str | None, make: Callable[[], Stored]) -> Stored:
        """Return the stored answer to `key` at this call, or make it; without a key it is made each time."""
        with self._lock:
            if key is None:
                return make()
            if (call, key) not in self._answers:
                self._answers[call, key] = make()
            return self._answers[call, key]

    def has_answer(self, call: str, key: str | None) -> bool:
        """Tell whether this key was answered at this call before."""
        return key is not None and (call, key) in self._answers


def shown(client: Client, *, secrets: bool = True) -> dict[str, object]:
    """Return a client as the bank shows it, once; a disabled one has no secrets any more."""
    return {
        "clientId": client.client_id,
        "clientSecret": client.client_secret if secrets else "",
        "isActive": client.is_active,
        "allowedIps": client.allowed_ips,
        "messageSigningSecret": client.signing_secret if secrets else None,
    }
