"""What an address of a database may be: what no outage explains is told at the start, before anybody connects."""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

SCHEMES = ("sqlite:///", "postgresql+psycopg://")

PARAMETERS = frozenset(
    """
    application_name channel_binding client_encoding connect_timeout dbname fallback_application_name gssdelegation
    gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname
    load_balance_hosts max_protocol_version min_protocol_version oauth_client_id oauth_client_secret oauth_issuer
    oauth_scope options passfile password port replication require_auth requirepeer scram_client_key
    scram_server_key service servicefile ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode
    sslcompression sslcrl sslcrldir sslkey sslkeylogfile sslmode sslnegotiation sslpassword sslrootcert sslsni
    target_session_attrs tcp_user_timeout user
    """.split()  # noqa: SIM905 - as it is documented, by the alphabet
)
"""The parameters of libpq, as of PostgreSQL 18 (its documentation, section 34.1.2).

Not asked for from the driver: settings are read before gevent patches a process, and a driver that is imported before
that stops all requests while it waits for the server.
"""

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
    for name, given in query.items():
        if name not in PARAMETERS:
            # Not repeated: of a password that was not percent-encoded it may be the end.
            near = "".join(f", the nearest to it is {word}" for word in get_close_matches(name, PARAMETERS, n=1))
            raise ValueError(f"PostgreSQL has no such parameter as stands behind the question mark{near}")
        values = [given] if isinstance(given, str) else list(given)
        if len(values) > 1 and name not in SEVERAL:
            raise ValueError(f"{name} is given twice")
        if name in WORDS and not WORDS[name].issuperset(values):
            raise ValueError(f"{name} is one of {', '.join(sorted(WORDS[name]))}")
        if name in NUMBERS and not all(value.isascii() and value.isdigit() for value in values):
            raise ValueError(f"{name} is a whole number")
