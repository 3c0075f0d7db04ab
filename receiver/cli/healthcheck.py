"""`receiver healthcheck`: whether the server on this machine answers that it is ready, for containers."""

import http.client
import socket
import ssl
import sys
from urllib.parse import urlsplit

import click

from receiver.cli.context import Command

PATH = "/readyz"
SHOWN_CHARACTERS = 300


class _OverSocket(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@click.command(cls=Command)
@click.option("--url", help="Where the server is, such as http://127.0.0.1:8000; else as the settings have it.")
@click.option("--timeout", type=click.FloatRange(0.1, 300), default=5.0, show_default=True, help="Seconds to wait.")
def healthcheck(url: str | None, timeout: float) -> None:
    """Ask the server on this machine whether it is ready; exit 0 where it is, else 1 with the reason."""
    connection = _connection(_listening() if url is None else url, timeout)
    try:
        connection.request("GET", PATH, headers={"Connection": "close"})
        with connection.getresponse() as answer:
            said = answer.read(SHOWN_CHARACTERS).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(f"{PATH}: no answer ({str(error) or type(error).__name__})") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        from receiver.cli.output import cell

        click.echo(f"Error: {PATH} answered {answer.status}: {cell(said)}", err=True)
        sys.exit(1)


def _listening() -> str:
    """Return where the server of these settings is, as this machine reaches it."""
    from receiver.settings import load_settings

    settings = load_settings()
    if settings.is_unix_socket:
        return settings.bind
    # What listens on all addresses listens on loopback too.
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(settings.bind, settings.bind)  # noqa: S104 - compared
    return f"{'https' if settings.tls_certificate else 'http'}://{host}:{settings.port}"


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    if url.startswith("unix:"):
        return _OverSocket(url.removeprefix("unix:"), timeout)
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        # What can be no name at all would fail only when it is looked up, with an error that is none of the network.
        host.encode("idna")
        if scheme == "http" and host:
            return http.client.HTTPConnection(host, port, timeout=timeout)
        if scheme == "https" and host:
            # The certificate is for the public name, and nothing is sent or believed that matters.
            context = ssl._create_unverified_context()  # noqa: S323
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    except (ValueError, http.client.InvalidURL):
        pass
    raise click.UsageError("--url takes http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH")
