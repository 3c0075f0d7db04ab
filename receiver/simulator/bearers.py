"""Bearer tokens of a bank with one user: JWTs with `exp`, good for a while."""

import secrets
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

import jwt
from flask import request

from receiver.simulator.clock import Clock


class Bearers:
    """The tokens that are good now. A token of another process, or from before a restart, is unknown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._expiries: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def issue(self, subject: str, lifetime_seconds: float, claims: Mapping[str, object] | None = None) -> str:
        """Return a new token for `subject`; `claims` stand in the JWT beside the usual ones."""
        now = self._clock()
        expires = now + timedelta(seconds=lifetime_seconds)
        usual = {
            "sub": subject,
            "jti": str(uuid.uuid4()),
            "iat": int(now.timestamp()),
            "exp": int(expires.timestamp()),
        }
        token = jwt.encode(usual | dict(claims or {}), self._key, algorithm="HS256")
        with self._lock:
            self._expiries = {text: until for text, until in self._expiries.items() if until > now}
            self._expiries[token] = expires
        return token

    def presented(self) -> bool:
        """Tell whether the current request carries a token that is known and has not expired."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        with self._lock:
            expires = self._expiries.get(token.strip()) if scheme.lower() == "bearer" else None
        return expires is not None and expires > self._clock()

    def expire_all(self) -> int:
        """Make every token worthless at once; return how many there were."""
        with self._lock:
            count, self._expiries = len(self._expiries), {}
        return count
