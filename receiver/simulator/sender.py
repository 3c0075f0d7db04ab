"""Posts one callback to a receiver, and tries again after the delays that a bank's schedule has (retries)."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import requests

from receiver.simulator.scripts import Clock, Sleep

DELAYS_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""How long is waited before each further try, where a bank's own numbers are not published."""

TIMEOUT_SECONDS = 10.0

ANSWER_BYTES_MAX = 65536
"""More of a receiver's answer is not read."""


@dataclass(frozen=True)
class Attempt:
    """One try; `status` is None and `error` is set where no answer came."""

    at: datetime
    seconds: float
    status: int | None
    body: bytes = b""
    error: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver answered 2xx."""
        return self.status is not None and 200 <= self.status < 300

    def as_json(self) -> dict[str, object]:
        """Return the try as the control endpoints show it."""
        return {
            "at": self.at.isoformat(),
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "body": self.body.decode("utf-8", "replace"),
            "error": self.error,
        }


@dataclass(frozen=True)
class Sender:
    """Posts bytes; `verify` is what `requests` takes: whether to check TLS certificates, or the file to check with."""

    clock: Clock
    sleep: Sleep = time.sleep
    timeout_seconds: float = TIMEOUT_SECONDS
    verify: bool | str = True

    def send(
        self,
        url: str,
        content: bytes,
        headers: Callable[[], Mapping[str, str]],
        delays: Sequence[float],
        is_over: Callable[[Attempt], bool],
    ) -> tuple[Attempt, ...]:
        """Post `content` until it `is_over` or the delays (seconds) are used up; return every try.

        `headers` is asked before each try, so that they may differ from one to the next. Each try opens a connection of
        its own and follows no redirect.
        """
        attempts = [self._try(url, content, headers())]
        for delay in delays:
            if is_over(attempts[-1]) or self.sleep(delay):
                break
            attempts.append(self._try(url, content, headers()))
        return tuple(attempts)

    def _try(self, url: str, content: bytes, headers: Mapping[str, str]) -> Attempt:
        at = self.clock()
        started = time.monotonic()
        try:
            status, body = self._post(url, content, headers)
        # OSError is what requests' own errors are, and a missing certificate file; ValueError comes from below it, for
        # instance for a host name with an overlong label.
        except (OSError, ValueError) as error:
            return Attempt(at, time.monotonic() - started, None, error=f"{type(error).__name__}: {error}"[:500])
        return Attempt(at, time.monotonic() - started, status, body)

    def _post(self, url: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        with requests.Session() as session:
            session.trust_env = False
            with session.post(
                url,
                data=content,
                headers={"User-Agent": "bank-simulator", "Connection": "close", **headers},
                timeout=self.timeout_seconds,
                verify=self.verify,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return answer.status_code, _beginning(answer)


def _beginning(answer: requests.Response) -> bytes:
    body = b""
    for chunk in answer.iter_content(8192):
        body += chunk
        if len(body) >= ANSWER_BYTES_MAX:
            break
    return body[:ANSWER_BYTES_MAX]
