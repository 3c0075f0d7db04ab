"""What an address of a database may be: what no outage explains is told at the start, before anybody connects."""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

SCHEMES = ("sqlite:///", "postgresql+psycopg://")

SEVERAL = frozenset({"host", "port", "options"})
"""What may stand in a PostgreSQL URL's query more than once."""

WORDS: Mapping[str, frozenset[str]] = {
    "sslmode": frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}),
    "channel_binding": frozenset({"disable", "prefer", "require"}),
    "gssencmode": frozenset({"disable", "prefer", "require"}),
}
"""The parameters of libpq that take a few words alone, as every version of it knows them."""

NUMBERS = frozenset({"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"})
"""Those that take a whole number."""


def check_database_url(value: str) -> None:
    """Look whether the URL of a database is one, of a kind that is taken, and could ever work.

    Raises:
        ValueError: it never repeats what may be a password.
    """
    if not value.startswith(SCHEMES):
        raise ValueError("neither SQLite nor PostgreSQL")
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        # The library's own text repeats the URL, which may hold a password.
        raise ValueError("not a URL") from None
    if not url.database or url.database == ":memory:":
        # Each connection would have an SQLite database of its own, gone with it.
        raise ValueError("no database is named")
    if url.get_backend_name() == "sqlite":
        _check_sqlite(value, url.database)
    elif url.query:
        _check_parameters(url.query)


def _check_sqlite(value: str, path: str) -> None:
    if "?" in value:
        raise ValueError("SQLite takes a path alone, nothing behind a question mark")
    if os.path.isdir(path):
        raise ValueError("the path is a folder: name a file")


def _check_parameters(query: Mapping[str, str | Sequence[str]]) -> None:
    # Imported here: it takes longer than most commands, and who has no such query does without.
    from psycopg import pq

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    for name, given in query.items():
        if name not in known:
            # Not repeated: of a password that was not percent-encoded it may be the end.
            near = "".join(f", the nearest to it is {word}" for word in get_close_matches(name, known, n=1))
            raise ValueError(f"PostgreSQL has no such parameter as stands behind the question mark{near}")
        values = [given] if isinstance(given, str) else list(given)
        if len(values) > 1 and name not in SEVERAL:
            raise ValueError(f"{name} is given twice")
        if name in WORDS and not WORDS[name].issuperset(values):
            raise ValueError(f"{name} is one of {', '.join(sorted(WORDS[name]))}")
        if name in NUMBERS and not all(value.isascii() and value.isdigit() for value in values):
            raise ValueError(f"{name} is a whole number")
