"""API credentials as an operator gives them: in a JSON file, on standard input, or at a terminal."""

from __future__ import annotations

import base64
import difflib
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from receiver.cli.output import cell

if TYPE_CHECKING:
    from receiver.banks.protocol import Bank


HIDDEN = ("secret", "password", "passcode")
FILE_BYTES_MAX = 1024 * 1024

MAY_BE_EMPTY = ("passcode",)
"""An empty one is one: a PFX file may be made so. Of all others, empty is left out."""


def credentials(bank: Bank, file: TextIO | None, now: datetime) -> dict[str, str]:
    """Return the credentials, whole and checked, ready to be stored; empty where none are given.

    What a file lacks is asked for, where there is a terminal to ask at. The line on a client certificate goes to
    standard error.

    Raises:
        ClickException: some are missing, or no JSON, or name a file that can't be read.
        CertificateUnusable: it can't be used at `now` (in UTC).
    """
    from receiver.admin import sources

    if not bank.credential_names:
        return {}
    given = _read(file, bank) if file else {}
    can_ask = sys.stdin.isatty() and file is not sys.stdin
    if can_ask:
        given = _ask(bank, given)
    missing = sources.missing_credentials(bank, given)
    if file is None and missing:
        return {}
    if missing:
        names = ", ".join(bank.credential_names)
        raise click.ClickException(f"--credentials lacks {', '.join(missing)}; it takes {names} as text")
    folder = Path(file.name).parent if file and file is not sys.stdin else Path()
    found = {
        name: _content(folder / value) if name in bank.credential_files else value for name, value in given.items()
    }
    certificate = sources.check_credentials(bank.name, found, now)
    if certificate is not None:
        click.echo(f"The client certificate is {certificate}.", err=True)
    return found


def _read(file: TextIO, bank: Bank) -> dict[str, str]:
    """Take the names as we write them or as banks do: `client_id`, `clientId`."""
    try:
        given = json.loads(file.read().removeprefix("\ufeff"))
    except ValueError as error:
        raise click.ClickException(f"--credentials is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise click.ClickException("--credentials is no JSON object")
    fields = {key.lower().replace("_", ""): value for key, value in given.items()}
    known = {name.replace("_", ""): name for name in bank.credential_names}
    for key in given:
        if key.lower().replace("_", "") not in known:
            raise click.ClickException(f"--credentials: {_unknown(key, known)}")
    if len(fields) < len(given):
        raise click.ClickException("--credentials gives a name twice, in two ways of writing")
    found = {name: fields.get(name.replace("_", "")) for name in bank.credential_names}
    return {name: value for name, value in found.items() if isinstance(value, str) and (value or name in MAY_BE_EMPTY)}


def _unknown(key: str, known: Mapping[str, str]) -> str:
    """Say that a name is not known, and which one may have been meant."""
    near = difflib.get_close_matches(key.lower().replace("_", ""), known, n=1, cutoff=0.5)
    meant = f"; {known[near[0]]}?" if near else ""
    return f"{cell(key[:40])!r} is no credential of this bank{meant} It takes {', '.join(known.values())}"


def _ask(bank: Bank, given: Mapping[str, str]) -> dict[str, str]:
    """Ask for what is not given yet, but for the CA that hardly any source needs: a file names it."""
    wanted = [name for name in bank.credential_names if name not in given and name != "ca_certificate"]
    if given:
        wanted = [name for name in wanted if name not in bank.credentials_optional]
    if wanted:
        click.echo("API credentials (Enter alone leaves them out):", err=True)
    found = dict(given)
    for name in wanted:
        label = f"{name} (path of the file{', not needed' if name in bank.credentials_optional else ''})"
        value = click.prompt(
            label if name in bank.credential_files else f"{name} (may be empty)" if name in MAY_BE_EMPTY else name,
            default="",
            show_default=False,
            hide_input=any(word in name for word in HIDDEN),
            err=True,
        )
        if value or (name in MAY_BE_EMPTY and found):
            found[name] = value
    return found


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX)
    except OSError as error:
        raise click.ClickException(f"{path} can't be read: {error.strerror}") from None
    return base64.b64encode(content).decode()
