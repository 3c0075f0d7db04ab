"""A sender of Standard Webhooks, which has no API: its server answers the control endpoints alone."""

from receiver.simulator import callback_control
from receiver.simulator.application import create_app
from receiver.simulator.clock import Clock, Sleep, utc_now
from receiver.simulator.errors import BcbErrors
from receiver.simulator.options import Options
from receiver.simulator.server import BankServer
from receiver.simulator.standard_webhooks import control, signatures
from receiver.simulator.standard_webhooks.config import Config
from receiver.simulator.standard_webhooks.sender import Sender


class Simulator(BankServer):
    """The sender. `sender`, `outbox` and `options` may be worked on directly, as the control endpoints do."""

    title = "Standard Webhooks"

    def __init__(
        self,
        config: Config | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Clock = utc_now,
        sleep: Sleep | None = None,
        log_requests: bool = False,
    ) -> None:
        """Listen on `host` and `port` (0: a free one); `sleep` waits between tries."""
        self.options = Options(config or Config())
        # Nobody sees an error of it but who asks for what is not there.
        super().__init__(BcbErrors(), clock=clock, sleep=sleep, options=self.options)
        self.sender = Sender(self.options, clock, self.fittings.sleep)
        self.outbox = self.sender.outbox
        blueprints = (control.blueprint(), callback_control.blueprint(self.outbox))
        app = create_app(self.sender, self.fittings, blueprints)
        self.listen(app, host, port, log_requests=log_requests)

    @property
    def public_key(self) -> str:
        """What `v1a` signatures are checked with: `whpk_` and Base64."""
        return signatures.public_key(self.sender.private_key)
