"""`receiver doctor`: whether everything is set so that callbacks are taken and payments checked."""

import sys

import click

from receiver.cli.context import migrated
from receiver.cli.output import cell


@click.command()
def doctor() -> None:
    """Look at settings, database, secrets and the banks' APIs; say what is wrong and what to do."""
    from receiver.admin.diagnosis import examine

    findings = list(examine(migrated()))
    for finding in findings:
        click.echo(f"{finding.state:<5} {finding.what}: {cell(finding.text)}")
    sys.exit(1 if any(finding.state == "fail" for finding in findings) else 0)
