"""`receiver connectpay`: any call of ConnectPay's API."""

import json
import sys
from typing import Any, TextIO

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import write_json


@click.group(cls=Group)
def connectpay() -> None:
    """Call ConnectPay's API, as the partner or in a user's name."""


@connectpay.command()
@click.argument("source")
@click.argument("method")
@click.argument("path")
@click.option("--user-token", type=click.File(), help="The user's token: a file, or - for the first line of the input.")
@click.option("--user-ip", metavar="ADDRESS", help="The user's own IP address.")
def call(source: str, method: str, path: str, user_token: TextIO | None, user_ip: str | None) -> None:
    """Make one call and write its answer as JSON; its body, a JSON object, is read from standard input."""
    from receiver.admin import connectpay_calls
    from receiver.banks.connectpay import Call, CallWrong, User, UserNeeded

    if (user_token is None) != (user_ip is None):
        raise click.UsageError("a call in a user's name takes both --user-token and --user-ip")
    # Before the input is read: its first line may be the token.
    token = user_token.readline().strip() if user_token is not None else None
    wanted = Call(method.upper(), path, _body())
    runtime = migrated()
    user = User(token, runtime.clock(), user_ip) if token is not None and user_ip is not None else None
    try:
        wanted.check(user, runtime.clock())
    except (CallWrong, UserNeeded) as error:
        raise click.UsageError(str(error)) from error
    answer = connectpay_calls.make(runtime, who(), source, wanted, user)
    if answer is None:
        click.echo("Done; the answer is empty.", err=True)
    else:
        write_json(answer)


def _body() -> dict[str, Any] | None:
    """Read the body that is piped in; none where nothing is."""
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise click.UsageError("the body is no JSON object")
    return found
