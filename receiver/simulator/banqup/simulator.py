"""Banqup as a server behind TLS."""

import uuid
from datetime import datetime
from email.utils import format_datetime

from werkzeug.wrappers import Response

from receiver.simulator import callback_control
from receiver.simulator.answers import json_answer
from receiver.simulator.application import create_app
from receiver.simulator.banqup import control, endpoints
from receiver.simulator.banqup.bank import Bank
from receiver.simulator.banqup.config import Config
from receiver.simulator.certificates import Authority, server_context
from receiver.simulator.clock import Clock, Sleep, utc_now
from receiver.simulator.errors import ErrorShapes
from receiver.simulator.options import Options
from receiver.simulator.server import BankServer


class Simulator(BankServer):
    """Banqup. `bank`, `outbox` and `options` may be worked on directly, as the control endpoints do; `ca` is the file
    to check its certificate with."""

    title = "Banqup"

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
        shapes = ErrorShapes(("rfc1123", "iso"), self._error, lambda: self.options.now.error_shape)
        super().__init__(shapes, clock=clock, sleep=sleep, options=self.options)
        folder = self.folder(config.folder)
        tls = server_context(folder, Authority("Bank simulator CA"), host)
        self.ca = folder / "ca.pem"
        self.bank = Bank(self.options, clock, self.fittings.sleep)
        self.outbox = self.bank.outbox
        blueprints = (endpoints.blueprint(), control.blueprint(), callback_control.blueprint(self.outbox))
        app = create_app(self.bank, self.fittings, blueprints)
        self.listen(
            app,
            host,
            port,
            tls=tls,
            control_port=config.control_port,
            watch=self.bank.watch,
            log_requests=log_requests,
        )

    @property
    def announcement(self) -> str:
        """See `BankServer.announcement`."""
        return f"{super().announcement}, its authority is {self.ca}"

    def _error(self, status: int, error: str, message: str, shape: str) -> Response:
        body: dict[str, object] = {
            "status": status,
            "error": error,
            "timestamp": _time(self.fittings.clock(), shape),
            "title": error,
            "detail": message,
        }
        if shape == "iso":
            body |= {"requestId": str(uuid.uuid4()), "type": "about:blank", "instance": "/"}
        return json_answer(body, status)


def _time(moment: datetime, shape: str) -> str:
    return format_datetime(moment, usegmt=True) if shape == "rfc1123" else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
