"""How a bank's endpoint says no."""

from werkzeug.wrappers import Response

from receiver.simulator.fittings import fittings


class Refusal(Exception):
    """The bank answers with an error: its HTTP status, a short name and a sentence.

    `shape` is one of the bank's shapes of errors where it is not the usual one; `seconds` is when to come back after a
    429.
    """

    def __init__(
        self, status: int, error: str, message: str, *, shape: str | None = None, seconds: float | None = None
    ) -> None:
        super().__init__(f"{status} {error}: {message}")
        self.status = status
        self.error = error
        self.message = message
        self.shape = shape
        self.seconds = seconds


def refuse(refusal: Refusal) -> Response:
    """Turn a refusal into the bank's answer."""
    shared = fittings()
    if refusal.seconds is not None:
        return shared.errors.too_many(refusal.seconds, shared.clock(), refusal.shape, "minutes")
    return shared.errors.answer(refusal.status, refusal.error, refusal.message, refusal.shape)
