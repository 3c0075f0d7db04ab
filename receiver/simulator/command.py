"""`receiver simulator`, and `python -m receiver.simulator`."""

from typing import Any, get_args

import click

from receiver.signing.hmac_sha256 import SecretEncoding
from receiver.simulator.config import EXAMPLE_SECRET, METHODS, SimulatorConfig
from receiver.simulator.fields import is_url
from receiver.simulator.server import serve


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_url(value):
        raise click.BadParameter("an absolute http or https address is expected")
    return value


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen. The control endpoints are open.")
@click.option("--port", default=9900, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option("--callback-url", callback=_address, help="The receiver's address that the bank knows.")
@click.option("--client-id", default="simulator-client", show_default=True)
@click.option("--client-secret", default="simulator-secret", envvar="SIMULATOR_CLIENT_SECRET", show_envvar=True)
@click.option("--signing-secret", default=EXAMPLE_SECRET, envvar="SIMULATOR_SIGNING_SECRET", show_envvar=True)
@click.option("--secret-encoding", default="base64", type=click.Choice(get_args(SecretEncoding)), show_default=True)
@click.option("--signing-method", default="hmac", type=click.Choice(METHODS), show_default=True)
@click.option(
    "--token-lifetime", "token_lifetime_seconds", default=2400.0, type=click.FloatRange(min=0), show_default=True
)
@click.option(
    "--rate-limit", default=300, type=click.IntRange(min=0), show_default=True, help="In 60 minutes; 0: none."
)
@click.option("--log-requests", is_flag=True, help="One line for each request, on standard error.")
def simulator(host: str, port: int, log_requests: bool, **settings: Any) -> None:
    """Run BCB's simulator on loopback until Ctrl-C."""
    try:
        config = SimulatorConfig(**settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    serve(host, port, config, log_requests=log_requests)
