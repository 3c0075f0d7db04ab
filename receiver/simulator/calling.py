"""How a bank calls back: where to, how patiently, and how its schedule is sped up."""

from collections.abc import Sequence
from dataclasses import dataclass

from receiver.simulator.clock import Clock, Sleep
from receiver.simulator.courier import DELAYS_SECONDS, TIMEOUT_SECONDS, Courier
from receiver.simulator.fields import is_url


@dataclass(frozen=True)
class Calling:
    """The options of every bank that calls back.

    `callback_url` is where callbacks go unless one is sent elsewhere. `retry_delays` (seconds) are the waits before
    further tries; `speed` is how many times faster than told time passes in that schedule. `ca_file` is what to check a
    receiver's TLS certificate with instead of the machine's own authorities; without `verify_tls` it is not checked.

    Raises:
        ValueError: for a speed that is not above 0, or a callback address that is none.
    """

    callback_url: str | None = None
    callback_timeout_seconds: float = TIMEOUT_SECONDS
    retry_delays: tuple[float, ...] = DELAYS_SECONDS
    speed: float = 1.0
    ca_file: str | None = None
    verify_tls: bool = True

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError("speed must be above 0")
        if not self.callback_timeout_seconds > 0:
            raise ValueError("callback_timeout_seconds must be above 0")
        if self.callback_url is not None and not is_url(self.callback_url):
            raise ValueError("callback_url must be an absolute http or https address")

    def courier(self, clock: Clock, sleep: Sleep) -> Courier:
        """Return what carries callbacks."""
        return Courier(clock, sleep, self.callback_timeout_seconds, self.ca_file or self.verify_tls)

    def faster(self, delays: Sequence[float]) -> tuple[float, ...]:
        """Return delays as `speed` makes them."""
        return tuple(delay / self.speed for delay in delays)
