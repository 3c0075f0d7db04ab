"""Banqup's access tokens: OAuth 2.0 client credentials (RFC 6749 section 4.4), form-encoded."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from receiver.banks import payload, times
from receiver.banks.banqup import options
from receiver.banks.connection import Connection
from receiver.banks.errors import AnswerUnreadable


def fetch(connection: Connection, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
    """Return a token and its end, as far as the answer or the token itself says it.

    Raises:
        BankError
    """
    path = str(connection.options.get("token_path", options.TOKEN_PATH))
    answer = connection.post_form(
        path,
        {
            "grant_type": "client_credentials",
            "client_id": credentials["client_id"],
            "client_secret": credentials["client_secret"],
        },
    )
    fields = answer if isinstance(answer, dict) else {}
    token = fields.get("access_token")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise AnswerUnreadable(f"POST {path}: no access_token in the answer")
    return token, _end(fields, token, connection.clock())


def _end(fields: Mapping[str, Any], token: str, now: datetime) -> datetime | None:
    """The documents disagree on how long a token lives: `expires_at` first, else `expires_in`, else the JWT's `exp`."""
    if (told := payload.text(fields, "expires_at")) and (found := times.read(told)):
        return found
    seconds = payload.amount(fields, "expires_in")
    if seconds is not None and 0 < seconds < 10**9:
        return now + timedelta(seconds=float(seconds))
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
