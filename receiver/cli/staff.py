"""`receiver staff`: the people who use the staff pages."""

import sys
from typing import Any

import click

from receiver.cli.context import Group, migrated, who
from receiver.cli.output import as_csv, as_json, write_list
from receiver.model import Role

ROLES = click.Choice(tuple(map(str, Role)))


@click.group(cls=Group)
def staff() -> None:
    """Add and look after the people who use the staff pages."""


@staff.command()
@click.argument("name")
@click.option("--role", required=True, type=ROLES, help="What they may do.")
@click.option("--payloads", is_flag=True, help="Let them read what the banks sent.")
def add(name: str, role: str, payloads: bool) -> None:
    """Add a person; the password is read from standard input, or asked for."""
    from receiver.admin import people

    runtime = migrated()
    people.checked_name(name)
    added = people.add(runtime, who(), name, Role(role), payloads=payloads, password=_password())
    click.echo(f"{added.name} may sign in at {_sign_in_page(runtime)} as {added.role}.")


@staff.command("list")
@as_json
@as_csv
def list_people(as_json: bool) -> None:
    """List all people; never anything of their passwords."""
    from receiver.admin import people
    from receiver.cli.output import in_rfc3339

    rows: list[dict[str, Any]] = [
        {
            "name": person.name,
            "role": person.role,
            "payloads": person.payloads,
            "state": "enabled" if person.disabled_at is None else "disabled",
            "signs_in_by": "password" if person.issuer is None else person.issuer,
            "created_at": in_rfc3339(person.created_at),
            "signed_in_at": in_rfc3339(person.signed_in_at),
        }
        for person in people.listing(migrated())
    ]
    columns = ["name", "role", "payloads", "state", "signs_in_by", "signed_in_at"]
    write_list(rows, columns, as_json, "There is nobody yet. Next: receiver staff add NAME --role admin")


@staff.command("set")
@click.argument("name")
@click.option("--role", type=ROLES, help="What they may do.")
@click.option("--payloads/--no-payloads", default=None, help="Whether they may read what the banks sent.")
@click.option("--enable", is_flag=True, help="Let them sign in, where they were disabled.")
def set_person(name: str, role: str | None, payloads: bool | None, enable: bool) -> None:
    """Change what a person may do; they sign in anew."""
    from receiver.admin import people

    if role is None and payloads is None and not enable:
        raise click.UsageError("say what to change: --role, --payloads, --no-payloads or --enable")
    changed = people.change(
        migrated(), who(), name, role=None if role is None else Role(role), payloads=payloads, enable=enable
    )
    reads = "may read payloads" if changed.payloads else "may not read payloads"
    state = "" if changed.disabled_at is None else "; disabled"
    click.echo(f"{changed.name} is {changed.role}, and {reads}{state}.")


@staff.command()
@click.argument("name")
def disable(name: str) -> None:
    """Let a person in no more, and end their sessions at once."""
    from receiver.admin import people

    people.disable(migrated(), who(), name)
    click.echo(f"{name} is disabled, and signed out everywhere.")


@staff.command()
@click.argument("name")
def password(name: str) -> None:
    """Give a person a new password, read from standard input or asked for; their sessions end at once."""
    from receiver.admin import people

    runtime = migrated()
    people.find(runtime, name)
    people.set_password(runtime, who(), name, _password())
    click.echo(f"{name} has a new password, and is signed out everywhere.")


def _password() -> str:
    """Ask for a password twice, or read it from standard input without the end of its line."""
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    return sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape").removesuffix("\n").removesuffix("\r")


def _sign_in_page(runtime: Any) -> str:
    settings = runtime.settings
    path = f"{settings.public_path_prefix}/staff"
    return f"{settings.public_url}{path}" if settings.public_url else str(settings.where(path))
