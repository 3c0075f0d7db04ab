"""Sends messages: each with an id that its retries share, and a time and signatures of each try."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from receiver.simulator.clock import Clock, Sleep
from receiver.simulator.courier import Attempt
from receiver.simulator.options import Options
from receiver.simulator.outbox import Outbox
from receiver.simulator.parcels import Message, Parcel
from receiver.simulator.standard_webhooks import signatures
from receiver.simulator.standard_webhooks.config import Config

Variant = Literal["genuine", "again", "forged", "altered", "stale", "future", "unsigned", "not-json"]
"""`forged` is signed with other keys, `altered` has a space behind the body that was signed; `stale` and `future` are
rightly signed, an hour off; `unsigned` has none of the headers; `not-json` is rightly signed, and cut in half."""

VARIANTS: tuple[Variant, ...] = get_args(Variant)

OFF_SECONDS = 3600.0

GONE = 410


class Sender:
    """One endpoint of one sender."""

    def __init__(self, options: Options[Config], clock: Clock, sleep: Sleep) -> None:
        self.options = options
        self.clock = clock
        self._made_up = Ed25519PrivateKey.generate()
        # The specification: an endpoint that answers 410 Gone wants no more.
        self.outbox = Outbox(lambda: options.now, clock, sleep, self._wrap, ends=_gone)

    @property
    def private_key(self) -> Ed25519PrivateKey:
        """The key that `v1a` signatures are made with."""
        given = self.options.now.private_key
        return self._made_up if given is None else signatures.private_key(given)

    def headers(self, message_id: str, timestamp: str, body: bytes, *, forged: bool = False) -> Mapping[str, str]:
        """Return the three headers of a message."""
        config = self.options.now
        signed = signatures.content(message_id, timestamp, body)
        made = []
        if config.signatures in ("v1", "both"):
            texts = [text for text in (config.secret, config.previous_secret) if text is not None]
            keys = [secrets.token_bytes(24)] if forged else [signatures.secret(text) for text in texts]
            made += [signatures.v1(key, signed) for key in keys]
        if config.signatures in ("v1a", "both"):
            made.append(signatures.v1a(Ed25519PrivateKey.generate() if forged else self.private_key, signed))
        values = {"id": message_id, "timestamp": timestamp, "signature": " ".join(made)}
        return {f"{config.headers}-{name}": value for name, value in values.items()}

    def _wrap(self, message: Message, variant: str) -> Parcel:
        text = message.text[: len(message.text) // 2] if variant == "not-json" else message.text
        body = text.encode()
        first = self._timestamp(variant)

        def headers() -> Mapping[str, str]:
            usual = {"Content-Type": "application/json"}
            if variant == "unsigned":
                return usual
            timestamp = self._timestamp(variant) if self.options.now.fresh_each_try else first
            return usual | dict(self.headers(message.subject, timestamp, body, forged=variant == "forged"))

        return Parcel(body + b" " if variant == "altered" else body, headers)

    def _timestamp(self, variant: str) -> str:
        off = {"stale": -OFF_SECONDS, "future": OFF_SECONDS}.get(variant, 0.0)
        return str(int((self.clock() + timedelta(seconds=off)).timestamp()))


def message_id() -> str:
    """Return a new id, such as `msg_p5jXN8AQM9LWM0D4loKWxJek`."""
    return f"msg_{secrets.token_hex(12)}"


def _gone(attempt: Attempt) -> bool:
    return attempt.status == GONE
