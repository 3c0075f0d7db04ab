"""Banks on loopback: tokens, signed callbacks, statuses, jobs, and faults on demand.

For the demo, the tests, and whoever integrates. Nothing is kept on disk and nothing is trusted: the control endpoints
ask for no password, so let it listen on loopback only. Each bank is a package in here that holds a `Config` and a
`Simulator` (`receiver.simulator.banking_circle.Simulator(receiver.simulator.banking_circle.Config(…))`); what all banks
share (faults, the journal, scripts, the courier, the server) stands beside them. The names below are BCB's.
"""

from receiver.simulator.bcb import Simulator
from receiver.simulator.bcb.sender import Delivery, Sender, SendOptions
from receiver.simulator.bcb.signatures import HmacSigner, RsaSigner, Stamp
from receiver.simulator.config import SimulatorConfig
from receiver.simulator.scripts import Script
from receiver.simulator.server import serve

__all__ = [
    "Delivery",
    "HmacSigner",
    "RsaSigner",
    "Script",
    "SendOptions",
    "Sender",
    "Simulator",
    "SimulatorConfig",
    "Stamp",
    "serve",
]
