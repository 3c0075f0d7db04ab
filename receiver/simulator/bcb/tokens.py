"""Bearer tokens: JWTs with `exp` and the permissions as a claim, fixed when they are issued."""

import secrets
import threading
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt

from receiver.simulator.bcb.clients import Client
from receiver.simulator.clock import Clock


@dataclass(frozen=True)
class Grant:
    """What a token stands for, until when (UTC)."""

    client_id: str
    generation: int
    permissions: frozenset[str]
    expires: datetime


class Tokens:
    """The tokens that are good now. A token of another process, or from before a restart, is unknown."""

    def __init__(self, clock: Clock, lifetime_seconds: float) -> None:
        self._clock = clock
        self._lifetime_seconds = lifetime_seconds
        self._key = secrets.token_bytes(32)
        self._grants: dict[str, Grant] = {}
        self._lock = threading.Lock()

    @property
    def lifetime_seconds(self) -> float:
        """How long a token that is issued now will live."""
        return self._lifetime_seconds

    def set_lifetime(self, seconds: float) -> None:
        """Give tokens that are issued from now on another lifetime."""
        self._lifetime_seconds = seconds

    def issue(self, client: Client) -> str:
        """Return a new token for `client`, with the permissions that it has now."""
        now = self._clock()
        expires = now + timedelta(seconds=self._lifetime_seconds)
        grant = Grant(client.client_id, client.generation, client.permissions, expires)
        claims = {
            "sub": client.client_id,
            "jti": str(uuid.uuid4()),
            "iat": int(now.timestamp()),
            "exp": int(grant.expires.timestamp()),
            "permissions": sorted(client.permissions),
        }
        token = jwt.encode(claims, self._key, algorithm="HS256")
        with self._lock:
            self._grants = {text: held for text, held in self._grants.items() if held.expires > now}
            self._grants[token] = grant
        return token

    def grant(self, token: str) -> Grant | None:
        """Return what `token` stands for, or None where it is unknown or has expired."""
        with self._lock:
            grant = self._grants.get(token)
        return grant if grant is not None and grant.expires > self._clock() else None

    def expire_all(self) -> int:
        """Make every token worthless at once; return how many there were."""
        with self._lock:
            count = len(self._grants)
            self._grants = {}
        return count
