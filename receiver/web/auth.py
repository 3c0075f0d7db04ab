"""Bearer tokens of downstream apps (RFC 6750)."""

import threading
from contextlib import suppress
from datetime import datetime

from flask import request

from receiver.admin.names import Names
from receiver.feed.reader import OneAtATime
from receiver.runtime import Runtime
from receiver.store import api_tokens
from receiver.store.api_tokens import TokenRecord
from receiver.store.database import StoreUnavailable
from receiver.web.problems import Problem

LOOKS_AT_ONCE = 4
"""Tokens, and sessions, that a process looks up at a time: anybody can make one up, and callbacks use the database."""


class Tokens:
    """The tokens that requests show; any number of threads may ask."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._looking = threading.BoundedSemaphore(LOOKS_AT_ONCE)
        self._noted: dict[int, datetime] = {}
        self.turns = OneAtATime()
        """One request of each token has its turn at a time, but for those that wait for the feed."""

    def require(self, scope: str) -> TokenRecord:
        """Return the token that the request shows, if it has the scope.

        Raises:
            Problem: 401 without a valid token, 403 beyond its scopes.
            StoreUnavailable
        """
        kind, _, shown = request.headers.get("Authorization", "").partition(" ")
        token = None
        now = self._runtime.clock()
        if kind.lower() == "bearer" and shown:
            with self._looking, self._runtime.database.read() as connection:
                token = api_tokens.find(connection, shown.strip(), now)
        if token is None:
            detail = "Send a valid API token: `Authorization: Bearer rcv_…`. `receiver token create` makes one."
            raise Problem(401, detail, {"WWW-Authenticate": "Bearer"})
        if scope not in token.scopes:
            headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
            raise Problem(403, f"This token does not have the scope {scope}.", headers)
        self._note_use(token, now)
        return token

    def names_for(self, token: TokenRecord) -> Names:
        """Return the names that a request with this token may hold."""
        return Names(self._runtime.database, token.sources)

    def _note_use(self, token: TokenRecord, now: datetime) -> None:
        """Write down that a token is used; of many requests at once, one does."""
        noted = self._noted.get(token.id)
        if noted is not None and noted != token.last_used_at:
            token = token._replace(last_used_at=noted)
        if not api_tokens.needs_note_of_use(token, now):
            return
        self._noted[token.id] = now
        # A database that can't be written just now can still be read.
        with suppress(StoreUnavailable), self._runtime.database.write() as connection:
            api_tokens.note_use(connection, token.id, now)


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
