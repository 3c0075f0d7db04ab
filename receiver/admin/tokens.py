"""API tokens of downstream apps: create and revoke them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from receiver.model import NameNotThere, NotFound, ReceiverError
from receiver.runtime import Runtime
from receiver.store import api_tokens, audit, consumers
from receiver.store.api_tokens import DEFAULT_SCOPES, TokenRecord
from receiver.store.database import retried


class TokenNameWrong(ReceiverError):
    """A token can't be called so: its name stands in the audit log, in lists and in commands."""


@dataclass(frozen=True)
class NewToken:
    """A token that was just created, with its text, for this once."""

    name: str
    text: str = field(repr=False)
    scopes: Sequence[str]
    sources: Sequence[str]
    """Names of the sources that it may see; empty for all."""
    expires_at: datetime | None


@retried
def create(
    runtime: Runtime,
    who: str,
    name: str,
    *,
    scopes: Sequence[str] = (),
    source_names: Sequence[str] = (),
    lifetime: timedelta | None = None,
    replaces: str | None = None,
) -> NewToken:
    """Create a token, with the default scopes where none are given; audited as `token.created`.

    One that `replaces` another takes over its scopes, sources and consumers; the other stays valid until it is revoked,
    and may use the consumers meanwhile.

    Raises:
        TokenNameWrong
        TokenExists
        NameUnknown: there is no such source; a removed one is taken, what came of it can be read still.
        NameNotThere: there is no token to replace.
        StoreUnavailable
    """
    # Imported here: it brings the banks, which no other act on tokens needs.
    from receiver.admin.names import SHOWN_CHARACTERS, Names

    if not consumers.NAME.fullmatch(name):
        raise TokenNameWrong(f"{name[:SHOWN_CHARACTERS]!r} is not a token's name: {consumers.NAME_TAKES}")
    Names(runtime.database).check_all("source", source_names)
    now = runtime.clock()
    ends = now + lifetime if lifetime is not None else None
    with runtime.database.write() as connection:
        old = named(connection, replaces) if replaces is not None else None
        granted = tuple(old.scopes if old is not None else scopes or DEFAULT_SCOPES)
        source_names = old.sources if old is not None else source_names
        text = api_tokens.create(connection, name=name, scopes=granted, sources=source_names, now=now, expires_at=ends)
        about: dict[str, Any] = {
            "token": name,
            "scopes": list(granted),
            "sources": list(source_names),
            "expires_at": ends.isoformat() if ends is not None else None,
        }
        if old is not None:
            about |= {"replaces": old.name, "consumers": consumers.take_over(connection, old.name, name)}
        audit.write(connection, runtime.encryption, at=now, who=who, what="token.created", about=about)
    return NewToken(name, text, granted, tuple(source_names), ends)


@retried
def revoke(runtime: Runtime, who: str, name: str) -> None:
    """End a token at once, in every process; audited as `token.revoked`.

    Raises:
        NameNotThere
        NotFound: it was revoked before.
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.write() as connection:
        named(connection, name)
        if not api_tokens.revoke(connection, name, now):
            raise NotFound(f"there is no valid token {name!r}")
        audit.write(connection, runtime.encryption, at=now, who=who, what="token.revoked", about={"token": name})


def named(connection: Connection, name: str) -> TokenRecord:
    """Return the token of this name, an ended one too.

    Raises:
        NameNotThere
    """
    found = api_tokens.named(connection, name)
    if found is None:
        # Imported here: it brings the banks, which no other act on tokens needs.
        from receiver.admin.names import no_such

        known = [token.name for token in api_tokens.every(connection)]
        raise NameNotThere(f"there is no token {no_such(name, known)}")
    return found


def state(token: TokenRecord, now: datetime) -> str:
    """Return `valid`, `expired` or `revoked`."""
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= now else "valid"
