"""Why a callback is refused."""

from receiver.model import ReceiverError


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
