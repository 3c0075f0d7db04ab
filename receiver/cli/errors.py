"""Failures that an operator can do something about: one line on standard error, exit code 1."""

from typing import Any

import click

from receiver.model import ReceiverError


class FailsInOneLine(click.Group):
    """A group whose commands end with one line where the reason is known, and with a traceback where it is a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ReceiverError as error:
            raise click.ClickException(str(error)) from error
