"""A bank's access tokens: found in an answer, and how long they live."""

from datetime import UTC, datetime
from typing import Any

import jwt

from receiver.banks.errors import AnswerUnreadable


def access_token(answer: Any, name: str, call: str) -> str:
    """Return the bearer token (RFC 6750) in the field `name` of a token endpoint's answer to `call`.

    Raises:
        AnswerUnreadable: there is none, or one that no header can hold.
    """
    token = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise AnswerUnreadable(f"{call}: no {name} in the answer")
    return token


def jwt_expiry(token: str) -> datetime | None:
    """Return the time of a JWT's claim `exp` (RFC 7519), in UTC; none where the token is no JWT or has no end.

    Its signature is not verified: the token is the bank's own, and only its end is wanted.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
