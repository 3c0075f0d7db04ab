"""Bearer tokens of downstream apps (RFC 6750)."""

from contextlib import suppress

from flask import request

from receiver.runtime import Runtime
from receiver.store import api_tokens
from receiver.store.api_tokens import TokenRecord
from receiver.store.database import StoreUnavailable
from receiver.web.problems import Problem


def require(runtime: Runtime, scope: str) -> TokenRecord:
    """Return the token that the request shows, if it has the scope.

    Raises:
        Problem: 401 without a valid token, 403 beyond its scopes.
        StoreUnavailable
    """
    kind, _, shown = request.headers.get("Authorization", "").partition(" ")
    token = None
    now = runtime.clock()
    if kind.lower() == "bearer" and shown:
        with runtime.database.read() as connection:
            token = api_tokens.find(connection, shown.strip(), now)
    if token is None:
        detail = "Send a valid API token: `Authorization: Bearer rcv_…`. `receiver token create` makes one."
        raise Problem(401, detail, {"WWW-Authenticate": "Bearer"})
    if scope not in token.scopes:
        headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
        raise Problem(403, f"This token does not have the scope {scope}.", headers)
    if api_tokens.needs_note_of_use(token, now):
        # A database that can't be written just now can still be read.
        with suppress(StoreUnavailable), runtime.database.write() as connection:
            api_tokens.note_use(connection, token.id, now)
    return token


def visible_sources(token: TokenRecord, asked: list[str]) -> list[str]:
    """Return the names to restrict a list to; empty for all.

    Raises:
        Problem: 403, a source was asked for that the token may not see.
    """
    if not token.sources:
        return asked
    beyond = [name for name in asked if name not in token.sources]
    if beyond:
        raise Problem(403, f"This token may not see the source {beyond[0][:64]}.")
    return asked or list(token.sources)


def may_see(token: TokenRecord, source: str) -> bool:
    """Tell whether the token may see a source."""
    return not token.sources or source in token.sources
