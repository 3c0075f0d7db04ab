"""What every simulated bank is made of, whichever bank it is; carried by the Flask application."""

from typing import Any, ClassVar, Generic, cast

from flask import current_app
from werkzeug.wrappers import Response

from receiver.simulator.answers import Refusal, RetryAfterForm, add_retry_after, plain_error
from receiver.simulator.faults import Faults
from receiver.simulator.limits import RequestLog
from receiver.simulator.options import ConfigT, Options
from receiver.simulator.outbox import CallbackRules, Outbox
from receiver.simulator.scripts import Clock, Sleep
from receiver.simulator.tokens import Tokens

EXTENSION = "simulated_bank"
"""Under this name the application carries its bank."""


class SimulatedBank(CallbackRules, Generic[ConfigT]):
    """One bank's state, all of it in memory, and the rules by which it calls back and says no.

    Each bank replaces what it does otherwise: errors are `{"error","message"}`.
    """

    error_shapes: ClassVar[tuple[str, ...]] = ("full",)
    """The names of the shapes that its error bodies come in."""

    def __init__(self, config: ConfigT, clock: Clock, sleep: Sleep) -> None:
        """Set the bank up; `sleep` waits in slow answers and between the tries of a callback."""
        self.options = Options(config)
        self.clock = clock
        self.sleep = sleep
        self.faults = Faults()
        self.requests = RequestLog()
        self.tokens = Tokens(clock)
        self.outbox = Outbox(self, clock, sleep)

    @property
    def config(self) -> ConfigT:
        """The options in force."""
        return self.options.now

    def announce_changes(self) -> None:
        """Send what has changed by itself since this was last asked."""

    def usual_shape(self) -> str:
        """Return the shape in which errors come where none is named."""
        return str(getattr(self.config, "error_shape", self.error_shapes[0]))

    def render_error(self, status: int, error: str, message: str, shape: str) -> Response:  # noqa: ARG002 - as above
        """Return an error in one of `error_shapes`."""
        return plain_error(status, error, message)

    def error(self, status: int, error: str, message: str, shape: str | None = None) -> Response:
        """Return an error: a status, a short name and a sentence, in the given shape or the usual one."""
        return self.render_error(status, error, message, shape or self.usual_shape())

    def too_many(self, seconds: float, shape: str | None = None, form: RetryAfterForm = "minutes") -> Response:
        """Return a 429 that says to come back in `seconds`."""
        answer = self.error(429, "TooManyRequests", "Too many requests, please wait", shape)
        return add_retry_after(answer, seconds, self.clock(), form)

    def refuse(self, refusal: Refusal) -> Response:
        """Turn a refusal into the bank's answer."""
        if refusal.seconds is not None:
            return self.too_many(refusal.seconds, refusal.shape)
        return self.error(refusal.status, refusal.error, refusal.message, refusal.shape)


def current_bank() -> SimulatedBank[Any]:
    """Return the bank that serves the current request."""
    return cast(SimulatedBank[Any], current_app.extensions[EXTENSION])
