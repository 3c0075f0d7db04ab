"""HTTP to a bank's API: time-outs on every call, answers bounded, every failure one of `receiver.banks.errors`."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from receiver.banks import payload
from receiver.banks.errors import (
    AnswerUnreadable,
    BankError,
    Forbidden,
    NotKnown,
    RateLimited,
    RequestRefused,
    ServerFailed,
    TokenRefused,
    Unreachable,
)

CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
ANSWER_BYTES_MAX = 8 * 1024 * 1024
WAIT_DEFAULT = timedelta(minutes=5)
WAIT_MAX = timedelta(hours=24)
TEXT_CHARACTERS = 200

Clock = Callable[[], datetime]


class _Session(requests.Session):
    """Never looks where a redirect points: that alone would read its whole body, and stumble over a bad address."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find none."""


class Connection:
    """A way to one bank's API. One thread uses it at a time."""

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        before_request: Callable[[], None] = lambda: None,
        token: str | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Take the API's address; `before_request` may raise to forbid a request (a spent budget)."""
        self.base_url = base_url.rstrip("/")
        self.token = token
        self.clock = clock
        self._before_request = before_request
        self._read_seconds = read_seconds
        self._session = _Session()
        # Without an `auth` of its own, requests takes one from ~/.netrc and puts it over the bank's token.
        self._session.auth = _as_it_is

    def close(self) -> None:
        """Close the sockets."""
        self._session.close()

    def get(self, path: str) -> Any:
        """Return the parsed JSON of `GET path`.

        Raises:
            BankError
        """
        return self._call("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the parsed JSON of `POST path`.

        Raises:
            BankError
        """
        return self._call("POST", path, body)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str,
        wants_json: bool = True,
    ) -> Any:
        """Make a call that changes something, and may be made again with the same key; return the parsed JSON.

        Without `wants_json` any answer with 2xx will do, and what it holds is not looked at.

        Raises:
            BankError
        """
        return self._call(method, path, body, {"Idempotency-Key": idempotency_key}, wants_json)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        more: Mapping[str, str] | None = None,
        wants_json: bool = True,
    ) -> Any:
        self._before_request()
        headers = {"Accept": "application/json", **(more or {})}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            with self._session.request(
                method,
                self.base_url + path,
                json=body,
                headers=headers,
                timeout=(CONNECT_SECONDS, self._read_seconds),
                # A redirect would carry the token to wherever it points.
                allow_redirects=False,
                stream=True,
            ) as response:
                content = self._content(response)
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            raise Unreachable(f"{method} {path}: {type(error).__name__}") from error
        if not wants_json and response.ok and response.status_code < 300:
            return None
        secrets = [self.token, *(body or {}).values()]
        return self._read(f"{method} {path}", response, content, [text for text in secrets if isinstance(text, str)])

    def _content(self, response: requests.Response) -> bytes:
        """Read what fits, and no longer than the time for an answer, however slowly it drips."""
        ends = time.monotonic() + self._read_seconds
        parts: list[bytes] = []
        size = 0
        # `read1` gives what there is; any other way to read waits, each byte anew, until the piece is full.
        while part := response.raw.read1(64 * 1024, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > ANSWER_BYTES_MAX:
                raise AnswerUnreadable(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            if time.monotonic() > ends:
                raise Unreachable(f"the answer took longer than {self._read_seconds:g} s")
        return b"".join(parts)

    def _read(self, call: str, response: requests.Response, content: bytes, secrets: Sequence[str]) -> Any:
        if response.ok and response.status_code < 300:
            try:
                return payload.parse(content)
            except payload.NotUnderstood as error:
                raise AnswerUnreadable(f"{call}: the answer is not JSON") from error
        text = f"{call}: {response.status_code} {_message(content, secrets)}".rstrip()
        raise _failure(text, response, content, self.clock())


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _failure(text: str, response: requests.Response, content: bytes, now: datetime) -> BankError:
    status = response.status_code
    if status == 429:
        return RateLimited(text, _wait(response, content, now))
    kinds = {401: TokenRefused, 403: Forbidden, 404: NotKnown}
    if status >= 500:
        return ServerFailed(text)
    return kinds.get(status, RequestRefused)(text)


def _message(content: bytes, secrets: Sequence[str]) -> str:
    """Find the bank's words in any of the shapes that errors have: an object, a bare string, or neither.

    What was sent in confidence and comes back in them is left out.
    """
    try:
        found = payload.parse(content)
    except payload.NotUnderstood:
        return ""
    if isinstance(found, dict):
        words = [payload.text(found, name) for name in ("error", "message")]
        found = ": ".join(word for word in words if word)
    if not isinstance(found, str):
        return ""
    for secret in filter(None, secrets):
        found = found.replace(secret, "…")
    return payload.text({"words": found[:TEXT_CHARACTERS]}, "words") or ""


def _wait(response: requests.Response, content: bytes, now: datetime) -> timedelta:
    """Return how long a 429 asks to wait: `Retry-After` (RFC 9110), else the body's `retry_after`, else a default."""
    told = [response.headers.get("Retry-After")]
    try:
        found = payload.parse(content)
        told.append(payload.text(found, "retry_after", "retryAfter") if isinstance(found, dict) else None)
    except payload.NotUnderstood:
        pass
    waits = [wait for text in told if text and (wait := _read_wait(text, now)) is not None]
    # Where the two differ the longer one is meant: coming back too early costs another window.
    return min(max(waits, default=WAIT_DEFAULT), WAIT_MAX)


def _read_wait(text: str, now: datetime) -> timedelta | None:
    units = {"second": 1, "minute": 60, "hour": 3600}
    if re.fullmatch(r"[0-9]{1,9}", text):
        return timedelta(seconds=int(text))
    if words := re.fullmatch(r"([0-9]{1,6}) (second|minute|hour)(?:\(s\)|s)?", text.strip().lower()):
        return timedelta(seconds=int(words[1]) * units[words[2]])
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            until = read(text)
        except (ValueError, OverflowError):
            continue
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(aware - now, timedelta(0))
    return None
