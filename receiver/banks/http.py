"""HTTP to a bank's API: time-outs on every call, answers bounded, every failure one of `receiver.banks.errors`."""

import re
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import jwt
import requests
from urllib3.exceptions import HTTPError

from receiver.banks import json_values, tls, unreached
from receiver.banks.errors import (
    AnswerUnreadable,
    BankError,
    Conflict,
    Forbidden,
    NothingShown,
    NotKnown,
    RateLimited,
    RefusedForNow,
    RequestRefused,
    ServerFailed,
    TokenRefused,
    Unreachable,
    words_of,
)
from receiver.banks.tls import ClientCertificate

CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
ANSWER_BYTES_MAX = 8 * 1024 * 1024
PART_MIN = 16
"""Characters of a part of a path that may be a secret."""
WAIT_DEFAULT = timedelta(minutes=5)
"""After a 429 that does not say how long."""
WAIT_MAX = timedelta(hours=24)
ANSWERED = "answered"
"""How a request has ended that the bank answered as was hoped for."""


class _Session(requests.Session):
    """Never looks where a redirect points: that alone would read its whole body, and stumble over a bad address."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find none."""


class HttpClient:
    """An HTTP client for one bank's API, over one session. One thread uses it at a time (it is not thread-safe)."""

    def __init__(
        self,
        base_url: str,
        *,
        clock: Callable[[], datetime],
        before_request: Callable[[], None] = lambda: None,
        after_request: Callable[[str], None] = lambda _: None,
        token: str | None = None,
        authorization: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        certificate: ClientCertificate | None = None,
        trusting: ssl.SSLContext | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Take the API's address; `before_request` may raise to forbid a request (a spent budget).

        `after_request` gets how each that was made has ended: `ANSWERED`, or the outcome of a `BankError`.

        `authorization` are the headers that show the token, where it is no bearer token (RFC 6750); `options` are the
        source's own, for the bank's package to look at. `trusting` is what checks the bank's own certificate where no
        client certificate is presented, in place of the public CAs.

        Raises:
            CertificateUnusable
        """
        self.base_url = base_url.rstrip("/")
        self.token = token
        self.options = options or {}
        self._authorization = authorization or ({} if token is None else {"Authorization": f"Bearer {token}"})
        self.clock = clock
        self._before_request = before_request
        self._after_request = after_request
        self._read_seconds = read_seconds
        self._session = _Session()
        # Without an `auth` of its own, requests takes one from ~/.netrc and puts it over the bank's token.
        self._session.auth = _without_auth
        context = trusting if certificate is None else certificate.context()
        if context is not None:
            self._session.mount("https://", tls.Presenting(context))

    def close(self) -> None:
        """Close the sockets."""
        self._session.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None, *, basic: tuple[str, str] | None = None) -> Any:
        """Return the parsed JSON of `GET path`; `headers`, where given, stand in for those that show the token.

        With `basic`, a name and a password (RFC 7617) do.

        Raises:
            BankError
        """
        if basic is not None:
            shown = b64encode(":".join(basic).encode()).decode()
            # Banking Circle's sheet has the type on this GET too, though nothing follows.
            headers = {"Authorization": f"Basic {shown}", "Content-Type": "application/json"}
            return self._call("GET", path, headers=headers, confidential=(shown, basic[1]))
        return self._call("GET", path, headers=headers)

    def get_object(self, path: str) -> dict[str, Any]:
        """Return the JSON object of `GET path`.

        Raises:
            BankError: `AnswerUnreadable` where it is JSON, but no object.
        """
        found = self.get(path)
        if not isinstance(found, dict):
            raise AnswerUnreadable(f"GET {path.partition('?')[0]}: a JSON object is expected")
        return found

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the parsed JSON of `POST path`.

        Raises:
            BankError
        """
        return self._call("POST", path, body)

    def post_form(self, path: str, fields: Mapping[str, str]) -> Any:
        """Return the parsed JSON of `POST path` with fields as a form (`application/x-www-form-urlencoded`).

        Raises:
            BankError
        """
        return self._call("POST", path, fields, as_form=True)

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Return the parsed JSON of any call; `headers`, where given, stand in for those that show the token.

        Raises:
            BankError: `NothingShown` where it has succeeded and the answer is empty.
        """
        return self._call(method, path, body, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str,
        wants_json: bool = True,
    ) -> Any:
        """Make a call that changes something under an idempotency key; return the parsed JSON.

        Without `wants_json` any answer with 2xx will do, and what it holds is not looked at.

        Raises:
            BankError
        """
        headers = {**self._authorization, "Idempotency-Key": idempotency_key}
        return self._call(method, path, body, headers=headers, wants_json=wants_json)

    def _call(self, *what: Any, **how: Any) -> Any:
        """Do what `_exchange` does, if a request may be made, and tell how it ended."""
        self._before_request()
        outcome = BankError.outcome
        try:
            found = self._exchange(*what, **how)
            outcome = ANSWERED
        except BankError as error:
            outcome = error.outcome
            raise
        finally:
            self._after_request(outcome)
        return found

    def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        as_form: bool = False,
        headers: Mapping[str, str] | None = None,
        confidential: Sequence[str] = (),
        wants_json: bool = True,
    ) -> Any:
        # What is asked for may be long, and holds nothing that staff need to read in an error.
        name = f"{method} {path.partition('?')[0]}"
        shown = self._authorization if headers is None else headers
        in_headers = [value for name, value in shown.items() if name.lower() != "content-type"]
        secrets = _confidential([self.token, *_texts_in(body), *confidential, *in_headers])
        try:
            with self._session.request(
                method,
                self.base_url + path,
                json=None if as_form else body,
                data=body if as_form else None,
                headers={"Accept": "application/json", **shown},
                timeout=(CONNECT_SECONDS, self._read_seconds),
                # A redirect would carry the token to wherever it points.
                allow_redirects=False,
                stream=True,
            ) as response:
                content = self._content(response)
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            raise _unreached(name, self.base_url, error) from error
        if not wants_json and response.ok and response.status_code < 300:
            return None
        return self._read(name, response, content, secrets)

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
            if not content:
                raise NothingShown(f"{call}: the answer is empty")
            try:
                return json_values.parse(content)
            except json_values.NotUnderstood as error:
                raise AnswerUnreadable(f"{call}: the answer is not JSON") from error
        text = f"{call}: {response.status_code} {words_of(content, secrets)}".rstrip()
        raise _failure(text, response, content, self.clock())


def _texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in a body, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)


def _confidential(sent: Iterable[Any]) -> list[str]:
    """Return what must not come back in a bank's words: all texts that were sent, and what can be told from them."""
    found = [text for text in sent if isinstance(text, str)]
    # A value may be `Bearer …`, and come back without its first word.
    found += [text.rpartition(" ")[2] for text in found]
    # One may be Base64 of `name:password`, and come back decoded; one may be a URL with a secret in its path.
    found += [decoded.partition(":")[2] for text in found if ":" in (decoded := _decoded(text))]
    found += [part for text in found for part in text.split("/") if len(part) >= PART_MIN]
    return list(dict.fromkeys(found))


def _decoded(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _without_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _failure(text: str, response: requests.Response, content: bytes, now: datetime) -> BankError:
    status = response.status_code
    if status == 429:
        return RateLimited(text, _wait(response, content, now))
    kinds = {
        401: TokenRefused,
        403: Forbidden,
        404: NotKnown,
        408: RefusedForNow,
        409: Conflict,
        425: RefusedForNow,
    }
    if status >= 500:
        return ServerFailed(text)
    return kinds.get(status, RequestRefused)(text)


def _unreached(call: str, url: str, error: Exception) -> BankError:
    """Return why no answer came: the TLS handshake, where it was that."""
    handshake = tls.fault(error)
    if handshake is not None:
        return type(handshake)(f"{call}: {handshake}")
    return Unreachable(f"{call}: {unreached.cause(error, url)}")


def _wait(response: requests.Response, content: bytes, now: datetime) -> timedelta:
    """Return how long a 429 asks to wait: `Retry-After` (RFC 9110), else the body's `retry_after`, else a default."""
    try:
        in_body = json_values.text(json_values.parse_object(content), "retry_after", "retryAfter")
    except json_values.NotUnderstood:
        in_body = None
    texts = (response.headers.get("Retry-After"), in_body)
    waits = [wait for text in texts if text and (wait := _read_wait(text, now)) is not None]
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
            until = read(text.upper())
        except (ValueError, OverflowError):
            continue
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(aware - now, timedelta(0))
    return None


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
