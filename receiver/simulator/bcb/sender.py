"""Sends BCB's callbacks to a receiver: genuine ones, and every kind that a receiver has to refuse or recognise."""

import gzip
import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from receiver.signing.encoding import to_base64
from receiver.simulator.bcb.signatures import HmacSigner, RsaSigner, Signer, Stamp, signature_headers
from receiver.simulator.clock import utc_now
from receiver.simulator.courier import DELAYS_SECONDS, Attempt, Courier

ContentEncoding = Literal["gzip", "deflate"]

CONTENT_ENCODINGS: tuple[ContentEncoding, ...] = ("gzip", "deflate")

STALE_SECONDS = 3600.0
"""How old a stale callback is; the sheet allows 300 seconds."""


@dataclass(frozen=True)
class SendOptions:
    """How a callback is sent.

    `content_encoding` packs the body after it is signed. `custom_headers` are echoed as they are, and never replace
    the bank's own. `fresh_each_try` gives each try a nonce and timestamp of its own. `delays` (seconds) are the waits
    before further tries; an empty one means a single try.
    """

    content_encoding: ContentEncoding | None = None
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    fresh_each_try: bool = False
    delays: Sequence[float] = DELAYS_SECONDS


@dataclass(frozen=True)
class Delivery:
    """One callback and what became of it: `body` is what was signed, `content` and `headers` went over the wire last,
    `signer` and `stamp` (None where it was unsigned) made the signature."""

    url: str
    body: bytes
    content: bytes
    headers: Mapping[str, str]
    stamp: Stamp | None
    attempts: tuple[Attempt, ...]
    signer: Signer | None = field(default=None, repr=False)

    @property
    def status(self) -> int | None:
        """The HTTP status that the last try was answered with, or None where no answer came."""
        return self.attempts[-1].status

    @property
    def answer(self) -> bytes:
        """The body that the last try was answered with."""
        return self.attempts[-1].body

    @property
    def accepted(self) -> bool:
        """Whether the last try was answered 2xx."""
        return self.attempts[-1].accepted


class Sender:
    """Sends to one address. The path signed is that of `url`, unless `signed_path` says that the bank knows another
    (a proxy in between that rewrites it)."""

    def __init__(
        self,
        url: str,
        signer: Signer,
        *,
        courier: Courier | None = None,
        options: SendOptions | None = None,
        signed_path: str | None = None,
    ) -> None:
        self._url = url
        self._signer = signer
        self._courier = courier or Courier(utc_now)
        self._options = options or SendOptions()
        self._signed_path = signed_path

    def send(
        self,
        body: bytes,
        *,
        options: SendOptions | None = None,
        stamp: Stamp | None = None,
        signer: Signer | None = None,
    ) -> Delivery:
        """Send a callback as the bank does: with retries unless it is answered 2xx.

        `stamp` fixes timestamp and nonce for every try, `signer` replaces the sender's own for this once.

        Raises:
            ValueError: where the address is none that HTTP can be spoken to.
        """
        options = options or self._options
        return self._deliver(body, options, signer or self._signer, self._stamps(options, stamp))

    def send_forged(self, body: bytes, *, options: SendOptions | None = None) -> Delivery:
        """Send, once, a callback that is well formed and signed with a key that is not the bank's."""
        return self.send(body, options=self._once(options), signer=_forger(self._signer))

    def send_stale(
        self, body: bytes, *, age_seconds: float = STALE_SECONDS, options: SendOptions | None = None
    ) -> Delivery:
        """Send, once, a callback rightly signed `age_seconds` ago (a negative age: ahead of time)."""
        stamp = Stamp.at(self._courier.clock() - timedelta(seconds=age_seconds))
        return self.send(body, options=self._once(options), stamp=stamp)

    def send_unsigned(self, body: bytes, *, options: SendOptions | None = None) -> Delivery:
        """Send, once, a callback without any of the signature's headers."""
        return self._deliver(body, self._once(options), None, lambda: None)

    def send_again(self, delivery: Delivery) -> Delivery:
        """Send, once, exactly what was sent before: the same bytes and the same headers."""
        attempts = self._courier.carry(self._url, delivery.content, lambda: delivery.headers, ())
        return replace(delivery, url=self._url, attempts=attempts)

    def send_reusing_nonce(self, delivery: Delivery, body: bytes, *, options: SendOptions | None = None) -> Delivery:
        """Send, once, another body, rightly signed, with the nonce and timestamp of an earlier delivery."""
        return self.send(body, options=self._once(options), stamp=delivery.stamp, signer=delivery.signer)

    def _once(self, options: SendOptions | None) -> SendOptions:
        if options is not None:
            return options
        return replace(self._options, delays=())

    def _stamps(self, options: SendOptions, stamp: Stamp | None) -> Callable[[], Stamp]:
        if stamp is None and options.fresh_each_try:
            return lambda: Stamp.at(self._courier.clock())
        fixed = stamp or Stamp.at(self._courier.clock())
        return lambda: fixed

    def _deliver(
        self, body: bytes, options: SendOptions, signer: Signer | None, stamps: Callable[[], Stamp | None]
    ) -> Delivery:
        path = self._signed_path or wire_path(self._url)
        content = _packed(body, options.content_encoding)
        tries: list[tuple[Stamp | None, dict[str, str]]] = []

        def headers() -> dict[str, str]:
            stamp = stamps()
            signed = signature_headers(signer, stamp, path, body) if signer and stamp else {}
            tries.append((stamp, _merged(options, signed)))
            return tries[-1][1]

        attempts = self._courier.carry(self._url, content, headers, options.delays)
        stamp, sent = tries[-1]
        return Delivery(self._url, body, content, sent, stamp, attempts, signer)


def wire_path(url: str) -> str:
    """Return the path of `url` as it goes over the wire, without the query string.

    Raises:
        ValueError: where the address is none that HTTP can be spoken to.
    """
    return requests.Request("POST", url).prepare().path_url.partition("?")[0]


def _packed(body: bytes, encoding: ContentEncoding | None) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body, mtime=0)
    return zlib.compress(body) if encoding == "deflate" else body


def _merged(options: SendOptions, signed: Mapping[str, str]) -> dict[str, str]:
    own = {"Content-Type": "application/json; charset=utf-8", **signed}
    if options.content_encoding is not None:
        own["Content-Encoding"] = options.content_encoding
    # Names of headers know no case; what the transport needs is not for customers to set either.
    taken = {name.lower() for name in own} | {"content-length", "transfer-encoding", "host", "connection"}
    return {name: value for name, value in options.custom_headers.items() if name.lower() not in taken} | own


def _forger(genuine: Signer) -> Signer:
    if genuine.version is None:
        return HmacSigner(to_base64(secrets.token_bytes(32)).decode())
    return RsaSigner(generate_private_key(public_exponent=65537, key_size=2048), genuine.version)
