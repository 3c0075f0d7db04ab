"""What all simulated banks share: their state and rules, access tokens, rate limits, and the log of requests."""

import secrets
import threading
import uuid
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar, cast

import jwt
from flask import current_app, request
from werkzeug.wrappers import Response

from receiver.simulator.faults import Faults
from receiver.simulator.json_bodies import Refusal, RetryAfterForm, add_retry_after, plain_error
from receiver.simulator.options import ConfigT, Options
from receiver.simulator.outbox import CallbackRules, Outbox
from receiver.simulator.scripts import Clock, SetClock, Sleep

REQUESTS_MAX = 1000

RowT = TypeVar("RowT")


class FixedWindow:
    """Counts requests by caller; a window opens with the first request after the one before has closed."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing counted."""
        self._clock = clock
        self._rule = (0, 0.0)
        self._windows: dict[str, tuple[datetime, int]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str, limit: int, seconds: float) -> float | None:
        """Count one request; return None where it is allowed, else the seconds until the window closes.

        `limit` requests are allowed in `seconds`, 0 for any number; counting starts anew where these have changed.
        """
        now = self._clock()
        with self._lock:
            if self._rule != (limit, seconds):
                self._rule = (limit, seconds)
                self._windows.clear()
            if limit == 0:
                return None
            closes, count = self._windows.get(caller, (now, 0))
            if closes <= now:
                closes, count = now + timedelta(seconds=seconds), 0
            if count >= limit:
                return (closes - now).total_seconds()
            self._windows[caller] = (closes, count + 1)
        return None

    def reset(self) -> None:
        """Count anew."""
        with self._lock:
            self._windows.clear()


@dataclass(frozen=True)
class ReceivedRequest:
    """One request; `status` is None where the bank hung up, `fault` names the fault that was applied."""

    at: datetime
    method: str
    path: str
    query: str
    status: int | None
    fault: str | None

    def as_json(self) -> dict[str, object]:
        """Return the request as the control endpoint shows it."""
        return {**vars(self), "at": self.at.isoformat()}


class RequestLog:
    """The last requests, newest last; many threads may write to it."""

    def __init__(self) -> None:
        """Start without a request."""
        self._entries: deque[ReceivedRequest] = deque(maxlen=REQUESTS_MAX)
        self._lock = threading.Lock()

    def add(self, entry: ReceivedRequest) -> None:
        """Append a request; the oldest one goes where there are too many."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> list[ReceivedRequest]:
        """Return a copy, oldest first."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


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


EXTENSION = "simulated_bank"
"""Under this name the application carries its bank."""


class SimulatedBank(CallbackRules, Generic[ConfigT]):
    """One bank's state, all of it in memory, and the rules by which it calls back and says no.

    Each bank replaces what it does otherwise: errors are `{"error","message"}`.
    """

    error_shapes: ClassVar[tuple[str, ...]] = ("full",)
    """The names of the shapes that its error bodies come in."""

    def __init__(self, config: ConfigT, clock: Clock, sleep: Sleep) -> None:
        """Set the bank up; `sleep` waits in slow answers and between the tries of a callback."""
        self.options = Options(config)
        self.clock = clock if isinstance(clock, SetClock) else SetClock(clock)
        self.sleep = sleep
        self.faults = Faults()
        self.requests = RequestLog()
        self.tokens = Tokens(clock)
        self.outbox = Outbox(self, clock, sleep)
        self._pages_given: Counter[str] = Counter()

    @property
    def config(self) -> ConfigT:
        """The options in force."""
        return self.options.now

    def announce_changes(self) -> None:
        """Send what has changed by itself since this was last asked."""

    def as_it_moves(self, name: str, rows: Sequence[RowT], moving: int) -> list[RowT]:
        """Return the rows of a list as they stand for its next page.

        `moving` rows have gone from the beginning of the list to its end since the page before was given (0: none).
        """
        if not rows or not moving:
            return list(rows)
        first = self._pages_given[name] * moving % len(rows)
        self._pages_given[name] += 1
        return [*rows[first:], *rows[:first]]

    def usual_shape(self) -> str:
        """Return the shape in which errors come where none is named."""
        return str(getattr(self.config, "error_shape", self.error_shapes[0]))

    def render_error(self, status: int, error: str, message: str, shape: str) -> Response:  # noqa: ARG002 - as above
        """Return an error in one of `error_shapes`."""
        return plain_error(status, error, message)

    def error(self, status: int, error: str, message: str, shape: str | None = None) -> Response:
        """Return an error: a status, a short name and a sentence, in the given shape or the usual one."""
        return self.render_error(status, error, message, shape or self.usual_shape())

    def too_many(self, seconds: float, shape: str | None = None, form: RetryAfterForm = "minutes") -> Response:
        """Return a 429 that says to come back in `seconds`."""
        answer = self.error(429, "TooManyRequests", "Too many requests, please wait", shape)
        return add_retry_after(answer, seconds, self.clock(), form)

    def refuse(self, refusal: Refusal) -> Response:
        """Turn a refusal into the bank's answer."""
        if refusal.seconds is not None:
            return self.too_many(refusal.seconds, refusal.shape)
        return self.error(refusal.status, refusal.error, refusal.message, refusal.shape)


def current_bank() -> SimulatedBank[Any]:
    """Return the bank that serves the current request."""
    return cast(SimulatedBank[Any], current_app.extensions[EXTENSION])
