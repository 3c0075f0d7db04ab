"""ConnectPay as a server."""

from werkzeug.wrappers import Response

from receiver.simulator import callback_control
from receiver.simulator.answers import json_answer
from receiver.simulator.application import create_app
from receiver.simulator.clock import Clock, Sleep, utc_now
from receiver.simulator.connectpay import control, endpoints
from receiver.simulator.connectpay.bank import Bank
from receiver.simulator.connectpay.config import Config
from receiver.simulator.errors import ErrorShapes
from receiver.simulator.options import Options
from receiver.simulator.server import BankServer


class Simulator(BankServer):
    """ConnectPay. `bank`, `outbox` and `options` may be worked on directly, as the control endpoints do."""

    title = "ConnectPay"

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
        self.options = Options(config or Config())
        shapes = ErrorShapes(("message", "text", "empty"), _error, lambda: self.options.now.error_shape)
        super().__init__(shapes, clock=clock, sleep=sleep, options=self.options)
        self.bank = Bank(self.options, clock, self.fittings.sleep)
        self.outbox = self.bank.outbox
        blueprints = (endpoints.blueprint(), control.blueprint(), callback_control.blueprint(self.outbox))
        app = create_app(self.bank, self.fittings, blueprints)
        self.listen(app, host, port, watch=self.bank.watch, log_requests=log_requests)


def _error(status: int, error: str, message: str, shape: str) -> Response:
    if shape == "message":
        return json_answer({"code": error, "message": message}, status)
    return Response(message if shape == "text" else "", status, content_type="text/plain; charset=utf-8")
