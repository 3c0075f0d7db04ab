"""Banks on loopback: tokens, signed callbacks, statuses, jobs, and faults on demand.

For the demo, the tests, and whoever integrates. Nothing is kept on disk but certificates, and nothing is trusted: the
control endpoints ask for no password, so let it listen on loopback only. Each bank is a package in here that holds a
`Config` and a `Simulator` (`receiver.simulator.banqup.Simulator(receiver.simulator.banqup.Config(…))`); what all banks
share stands beside them. What it needs besides the receiver's own libraries is the extra `simulator`.
"""

from importlib.util import find_spec

import click

INSTALL = "pip install 'bank-callback-receiver[simulator]'"
"""The command that installs what the simulator needs besides."""


class SimulatorNotInstalled(click.ClickException):
    """The extra `simulator` is not installed; a command ends with 1 and the command that installs it."""


def require_installed() -> None:
    """Check that the extra `simulator` is there, without importing it.

    Raises:
        SimulatorNotInstalled: where it is not.
    """
    if find_spec("trustme") is None:
        raise SimulatorNotInstalled(f"the simulator is not installed; install it with: {INSTALL}")
