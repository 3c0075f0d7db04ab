"""`receiver simulator`, and `python -m receiver.simulator`; finds the bank that it plays."""

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from receiver.simulator import require_installed

if TYPE_CHECKING:
    from receiver.simulator.server import BankServer

OPTIONS = {
    "callback_url": "callback_url",
    "client_id": "client_id",
    "client_secret": "client_secret",
    "signing_secret": "signing_secret",
    "secret_encoding": "secret_encoding",
    "signing_method": "signing_method",
    "token_lifetime": "token_lifetime_seconds",
    "rate_limit": "rate_limit",
}
"""Options that the command line has words of its own for: the first is every bank's, the others are BCB's."""


def bank_names() -> list[str]:
    """Return the names of all banks, in alphabetical order."""
    package = import_module("receiver.simulator")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg)


def find_bank(name: str) -> ModuleType:
    """Return the package of one of `bank_names`: its `Config`, with a default for each option, and its `Simulator`."""
    return import_module(f"receiver.simulator.{name}")


def _pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"KEY=VALUE is expected, not {value!a}")
    pairs = [(name, text) for name, _, text in (value.partition("=") for value in values)]
    if len(dict(pairs)) < len(pairs):
        raise click.BadParameter("a KEY is given twice; it takes one value")
    return dict(pairs)


@click.command()
@click.option("--bank", default="bcb", type=click.Choice(bank_names()), show_default=True, help="Which bank to play.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen. The control endpoints are open.")
@click.option("--port", default=9900, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option("--callback-url", help="The receiver's address that the bank knows.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_pairs,
    help="Any option of the bank; again for each.",
)
@click.option("--client-id", show_default="simulator-client", help="BCB alone, as all down to --rate-limit.")
@click.option(
    "--client-secret",
    show_default="simulator-secret",
    envvar="SIMULATOR_CLIENT_SECRET",
    show_envvar=True,
    help="What the one client shows to get a token.",
)
@click.option(
    "--signing-secret",
    show_default="BCB's example",
    envvar="SIMULATOR_SIGNING_SECRET",
    show_envvar=True,
    help="The message-signing secret of callbacks.",
)
@click.option(
    "--secret-encoding",
    type=click.Choice(["base64", "utf8"]),
    show_default="base64",
    help="How the signing secret becomes a key.",
)
@click.option(
    "--signing-method", type=click.Choice(["hmac", "rsa"]), show_default="hmac", help="How callbacks are signed."
)
@click.option("--token-lifetime", type=click.FloatRange(min=0), show_default="2400", help="In seconds.")
@click.option("--rate-limit", type=click.IntRange(min=0), show_default="300", help="In 60 minutes; 0: none.")
@click.option("--log-requests", is_flag=True, help="One line for each request, on standard error.")
@click.pass_context
def simulator(
    context: click.Context,
    /,
    bank: str,
    host: str,
    port: int,
    callback_url: str | None,
    options: dict[str, str],
    log_requests: bool,
    **words: str | float | None,
) -> None:
    """Run one bank's simulator on loopback until Ctrl-C."""
    require_installed()
    from receiver.simulator.json_bodies import BadInput
    from receiver.simulator.options import from_text
    from receiver.simulator.server import serve

    words["callback_url"] = callback_url
    taken = _taken(context, words, options) if bank == "bcb" else _taken_by_others(context, words, options)
    found = find_bank(bank)
    try:
        config = from_text(found.Config, taken)
    except BadInput as error:
        raise click.UsageError(str(error)) from error

    def start() -> "BankServer[Any, Any]":
        try:
            made: BankServer[Any, Any] = found.Simulator(config, host, port, log_requests=log_requests)
        # UnicodeError is what the name of a host may raise.
        except (OSError, UnicodeError) as error:
            raise click.ClickException(f"the simulator can't start: {error}") from error
        return made

    serve(start)


def _taken(context: click.Context, words: dict[str, str | float | None], options: dict[str, str]) -> dict[str, str]:
    """Return the options by name; one that is given in both spellings is wrong use.

    What the environment says may be replaced.
    """
    given = {OPTIONS[word]: str(value) for word, value in words.items() if value is not None}
    for word, name in OPTIONS.items():
        if name in options and context.get_parameter_source(word) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{_spelt(word)} and --option {name}=… are the same: give one of them")
    return given | options


def _taken_by_others(
    context: click.Context, words: dict[str, str | float | None], options: dict[str, str]
) -> dict[str, str]:
    for word in set(words) - {"callback_url"}:
        # Those from the environment may stand for a BCB beside this bank.
        if context.get_parameter_source(word) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{_spelt(word)} is for BCB; use --option KEY=VALUE")
    return _taken(context, {"callback_url": words["callback_url"]}, options)


def _spelt(word: str) -> str:
    return f"--{word.replace('_', '-')}"
