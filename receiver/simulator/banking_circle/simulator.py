"""Banking Circle as a server behind mutual TLS."""

import ssl

from receiver.simulator import callback_control
from receiver.simulator.application import create_app
from receiver.simulator.banking_circle import control, endpoints
from receiver.simulator.banking_circle.bank import Bank
from receiver.simulator.banking_circle.config import Config
from receiver.simulator.banking_circle.errors import errors
from receiver.simulator.banking_circle.notifier import Notifier
from receiver.simulator.banking_circle.parts import Parts
from receiver.simulator.certificates import write
from receiver.simulator.clock import Clock, Sleep, utc_now
from receiver.simulator.options import Options
from receiver.simulator.server import BankServer

_NEWEST = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Simulator(BankServer):
    """Banking Circle. `bank`, `notifier`, `outbox` and `options` may be worked on directly, as the control endpoints
    do; `certificates` says where the files lie that a caller needs."""

    title = "Banking Circle"

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
        """Listen on `host` and `port` (0: a free one); `sleep` waits in slow answers and between tries."""
        config = config or Config()
        self.options = Options(config)
        shapes = errors(lambda: self.options.now.error_shape)
        super().__init__(shapes, clock=clock, sleep=sleep, options=self.options)
        folder = self.folder(config.folder)
        newest = _NEWEST[config.tls_version]
        self.certificates, tls = write(folder, config.passcode, config.certificate_days, host, newest)
        self.bank = Bank(self.options, clock)
        self.notifier = Notifier(self.bank, self.fittings.sleep)
        self.outbox = self.notifier.outbox
        parts = Parts(self.bank, self.notifier, self.certificates)
        calls = callback_control.blueprint(self.outbox)
        app = create_app(parts, self.fittings, (endpoints.blueprint(), control.blueprint(), calls))
        self.listen(
            app,
            host,
            port,
            tls=tls,
            control_port=config.control_port,
            watch=self.notifier.watch,
            log_requests=log_requests,
        )

    @property
    def announcement(self) -> str:
        """See `BankServer.announcement`."""
        return f"{super().announcement}, certificates in {self.certificates.ca.parent}"
