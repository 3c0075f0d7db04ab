"""`receiver simulator`, and `python -m receiver.simulator`."""

from typing import Any, get_args

import click

from receiver.signing.hmac_sha256 import SecretEncoding
from receiver.simulator import banks
from receiver.simulator.config import EXAMPLE_SECRET, METHODS, SimulatorConfig
from receiver.simulator.fields import BadFieldError, is_url
from receiver.simulator.options import from_text
from receiver.simulator.server import serve


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_url(value):
        raise click.BadParameter("an absolute http or https address is expected")
    return value


def _pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"KEY=VALUE is expected, not {value!a}")
    return {name: text for name, _, text in (value.partition("=") for value in values)}


@click.command()
@click.option("--bank", default="bcb", type=click.Choice(banks.names()), show_default=True, help="Which bank to play.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen. The control endpoints are open.")
@click.option("--port", default=9900, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option("--callback-url", callback=_address, help="The receiver's address that the bank knows.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_pairs,
    help="Any option of a bank other than BCB; again for each.",
)
@click.option("--client-id", default="simulator-client", show_default=True, help="BCB alone, as all below.")
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
@click.pass_context
def simulator(
    context: click.Context,
    /,
    bank: str,
    host: str,
    port: int,
    options: dict[str, str],
    log_requests: bool,
    **settings: Any,
) -> None:
    """Run one bank's simulator on loopback until Ctrl-C."""
    found = banks.find(bank)
    config = _bcb(settings, options) if bank == "bcb" else _other(context, found.Config, settings, options)
    serve(lambda: found.Simulator(config, host, port, log_requests=log_requests))


def _bcb(settings: dict[str, Any], options: dict[str, str]) -> SimulatorConfig:
    if options:
        raise click.UsageError("--option is for the other banks; BCB has options of its own")
    try:
        return SimulatorConfig(**settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _other(context: click.Context, config: type[Any], settings: dict[str, Any], options: dict[str, str]) -> Any:
    url = settings.pop("callback_url")
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "")
        if parameter.name in settings and given is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} is for BCB; use --option KEY=VALUE")
    try:
        return from_text(config, options | ({} if url is None else {"callback_url": url}))
    except BadFieldError as error:
        raise click.UsageError(f"--option: {error}") from error
