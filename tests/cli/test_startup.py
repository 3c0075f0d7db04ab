"""What a command imports before it does its work: importing is most of what starting costs."""

import subprocess
import sys

import click
import pytest
from conftest import KEY
from servers import RECEIVER, environment

from receiver.cli import Commands, main

LIBRARIES = {
    "alembic",
    "cryptography",
    "flask",
    "gevent",
    "gunicorn",
    "jwt",
    "psycopg",
    "pydantic",
    "pydantic_settings",
    "requests",
    "sqlalchemy",
    "sqlmodel",
    "werkzeug",
}
"""What takes long to import."""

OF_THE_DATABASE = {"cryptography", "pydantic", "pydantic_settings", "sqlalchemy", "sqlmodel"}
"""What a command needs that looks into the database, on SQLite."""

OPEN_HELP = {
    "accounts",
    "audit",
    "credentials",
    "deliveries",
    "events",
    "payments",
    "replay",
    "secret",
    "source",
    "token",
}
"""Commands whose help still imports libraries; one that does not must not stand here."""

OPEN_LISTS = {("source", "list"), ("token", "list")}
"""Commands on the database that still import more than reads it; one that does not must not stand here."""


def imported(*words: str, **settings: str) -> set[str]:
    """The libraries that a process of the command line has imported when it ends."""
    command = [RECEIVER[0], "-X", "importtime", *RECEIVER[1:], *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=settings or None, check=False)
    assert ended.returncode in (0, 2), ended.stderr
    lines = [line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")]
    assert "click" in lines
    return {name.partition(".")[0] for name in lines} & LIBRARIES


@pytest.mark.parametrize("words", [("--version",), ("--help",), (), ("nonsense",)], ids=" ".join)
def test_what_asks_for_no_command_imports_no_library(words: tuple[str, ...]) -> None:
    assert imported(*words) == set()


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help_of_a_command_imports_no_library(name: str) -> None:
    found = imported(name, "--help")
    assert bool(found) == (name in OPEN_HELP), found


@pytest.mark.parametrize("words", [("source", "list"), ("token", "list")], ids=" ".join)
def test_a_command_on_the_database_imports_what_reads_it(sqlite_url: str, words: tuple[str, ...]) -> None:
    more = imported(*words, **environment(sqlite_url, KEY)) - OF_THE_DATABASE
    assert bool(more) == (words in OPEN_LISTS), more


@pytest.mark.parametrize("name", sorted(main.commands))
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    whole = sys.maxsize
    assert Commands().data[name].get_short_help_str(whole) == main.commands[name].get_short_help_str(whole)


def test_the_list_of_commands_is_the_one_that_click_itself_would_write() -> None:
    context, ours, clicks = click.Context(main), click.HelpFormatter(width=80), click.HelpFormatter(width=80)
    main.format_commands(context, ours)
    click.Group.format_commands(main, context, clicks)
    assert ours.getvalue() == clicks.getvalue()
