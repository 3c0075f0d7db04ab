"""BCB as a server."""

from receiver.simulator.application import create_app
from receiver.simulator.bcb import control, endpoints, gate
from receiver.simulator.bcb.bank import Bank
from receiver.simulator.bcb.notifier import Notifier
from receiver.simulator.bcb.refusals import BankRefusal
from receiver.simulator.clock import Clock, Sleep, utc_now
from receiver.simulator.config import SimulatorConfig
from receiver.simulator.errors import BcbErrors
from receiver.simulator.parts import Parts
from receiver.simulator.server import BankServer


class Simulator(BankServer):
    """BCB. `bank` and `notifier` may be worked on directly, as the control endpoints do."""

    title = "BCB"

    def __init__(
        self,
        config: SimulatorConfig | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Clock = utc_now,
        sleep: Sleep | None = None,
        log_requests: bool = False,
    ) -> None:
        """Listen on `host` and `port` (0: a free one); `sleep` waits in slow answers and between tries."""
        super().__init__(BcbErrors(), clock=clock, sleep=sleep)
        self.bank = Bank(config or SimulatorConfig(), clock)
        self.notifier = Notifier(self.bank, self.fittings.sleep)
        parts = Parts(self.bank, self.notifier)
        app = create_app(parts, self.fittings, (endpoints.blueprint(), control.blueprint()))
        app.register_error_handler(BankRefusal, gate.answer)
        self.listen(app, host, port, watch=self.notifier.watch_jobs, log_requests=log_requests)
