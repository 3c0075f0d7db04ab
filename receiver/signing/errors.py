"""Why a callback is refused."""

from receiver.model import ReceiverError

WELL_FORMED = frozenset({"signature_mismatch", "tag_mismatch", "token_mismatch", "secret_not_set", "secret_malformed"})
"""Reasons that are found last: all was there and of the right form, and no key fitted."""


class Refusal(ReceiverError):
    """A callback is not proven genuine.

    `reason` is a stable word for staff and scripts; `detail` says what was seen, never a key or a signature. The
    sender is told neither.

    `proven` is true where the signature itself was right and something else was not (too old, nonce used before):
    only the holder of a key can cause that, so such a delivery is kept apart from plain forgeries.
    """

    def __init__(self, reason: str, detail: str, *, proven: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.proven = proven

    @property
    def well_formed(self) -> bool:
        """Whether the callback has the form of a genuine one, as that of a bank whose key is not known here has."""
        return self.reason in WELL_FORMED
