"""The command line: `receiver …`."""

import click

from receiver import __version__
from receiver.cli import (
    accounts,
    audit,
    credentials,
    database,
    deliveries,
    doctor,
    events,
    payments,
    processes,
    replays,
    secrets,
    sources,
    tokens,
)
from receiver.cli.errors import FailsInOneLine
from receiver.simulator.command import simulator


@click.group(cls=FailsInOneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="bank-callback-receiver")
def main() -> None:
    """Receive banks' payment callbacks: proven genuine, written down once, checked with the bank, told in order."""


for command in (
    processes.run,
    processes.worker,
    processes.demo,
    simulator,
    doctor.doctor,
    database.db,
    sources.source,
    secrets.secret,
    credentials.credentials,
    tokens.token,
    events.events,
    deliveries.deliveries,
    payments.payments,
    accounts.accounts,
    replays.replay,
    audit.audit,
):
    main.add_command(command)
