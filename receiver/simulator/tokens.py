"""Bearer tokens (RFC 6750): JWTs with `exp`, good for a while."""

import secrets
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import jwt
from flask import request

from receiver.simulator.scripts import Clock


@dataclass(frozen=True)
class Token:
    """What a token says: for whom it was issued, until when it is good (UTC), and its bank's own claims."""

    subject: str
    expires: datetime
    claims: Mapping[str, object] = field(default_factory=dict)


class Tokens:
    """The tokens that are good now. A token of another process, or from before a restart, is unknown."""

    def __init__(self, clock: Clock) -> None:
        """Make a key that signs the tokens of this process."""
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._tokens: dict[str, Token] = {}
        self._lock = threading.Lock()

    def issue(self, subject: str, lifetime_seconds: float, claims: Mapping[str, object] | None = None) -> str:
        """Return a new token for `subject`; `claims` stand in the JWT beside the usual ones."""
        now = self._clock()
        token = Token(subject, now + timedelta(seconds=lifetime_seconds), dict(claims or {}))
        usual = {
            "sub": subject,
            "jti": str(uuid.uuid4()),
            "iat": int(now.timestamp()),
            "exp": int(token.expires.timestamp()),
        }
        text = jwt.encode({**usual, **token.claims}, self._key, algorithm="HS256")
        with self._lock:
            self._tokens = {known: held for known, held in self._tokens.items() if held.expires > now}
            self._tokens[text] = token
        return text

    def presented(self) -> Token | None:
        """Return the token that the current request carries, or None where it is unknown or has expired."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        with self._lock:
            token = self._tokens.get(text.strip()) if scheme.lower() == "bearer" else None
        return token if token is not None and token.expires > self._clock() else None

    def texts(self) -> list[str]:
        """Return the tokens themselves."""
        with self._lock:
            return list(self._tokens)

    def expire_all(self) -> int:
        """Make every token worthless at once; return how many there were."""
        with self._lock:
            count, self._tokens = len(self._tokens), {}
        return count
