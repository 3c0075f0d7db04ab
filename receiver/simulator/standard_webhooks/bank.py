"""What a simulated sender of Standard Webhooks is started with."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AfterValidator, Field

from receiver.simulator.bank import SimulatedBank
from receiver.simulator.options import BankConfig
from receiver.simulator.outbox import Callback, Message, Sending
from receiver.simulator.scripts import Clock, Sleep
from receiver.simulator.sender import Attempt
from receiver.simulator.validation import SecondsTuple

EXAMPLE_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - published as an example
RETRY_DELAYS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""The schedule that the specification suggests: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""


def secret_bytes(text: str) -> bytes:
    """Return the bytes of a `whsec_` secret.

    Raises:
        ValueError: where it is none.
    """
    return _decoded(text, "whsec_")


def private_key(text: str) -> Ed25519PrivateKey:
    """Return the key that `whsk_` and the Base64 of its 32 bytes stand for (RFC 8032).

    Raises:
        ValueError: where it is none.
    """
    # Some write the public key's 32 bytes behind those of the private one.
    return Ed25519PrivateKey.from_private_bytes(_decoded(text, "whsk_")[:32])


def _decoded(text: str, prefix: str) -> bytes:
    try:
        return base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{prefix} and Base64 are expected") from error


def _secret(text: str) -> str:
    secret_bytes(text)
    return text


def _private_key(text: str) -> str:
    private_key(text)
    return text


Secret = Annotated[str, AfterValidator(_secret)]
PrivateKey = Annotated[str, AfterValidator(_private_key)]


class Config(BankConfig):
    """One endpoint of one sender; all times are in seconds.

    `secret` is `whsec_` and Base64. `previous_secret`, where there is one, signs too, as while secrets are rotated.
    `signatures` are `v1` (HMAC-SHA256), `v1a` (Ed25519) or `both`. `private_key` is `whsk_` and the Base64 of 32 bytes;
    one is made up without. With `fresh_each_try` each try has a time, and so a signature, of its own. The headers begin
    with `webhook` or, as the service did that the standard grew out of, `svix`.
    """

    retry_delays: SecondsTuple = RETRY_DELAYS
    secret: Secret = Field(default=EXAMPLE_SECRET, repr=False)
    previous_secret: Secret | None = Field(default=None, repr=False)
    private_key: PrivateKey | None = Field(default=None, repr=False)
    signatures: Literal["v1", "v1a", "both"] = "v1"
    fresh_each_try: bool = True
    headers: Literal["webhook", "svix"] = "webhook"


Variant = Literal["genuine", "again", "forged", "altered", "stale", "future", "unsigned", "not-json"]
"""`forged` is signed with other keys, `altered` has a space behind the body that was signed; `stale` and `future` are
rightly signed, an hour off; `unsigned` has none of the headers; `not-json` is rightly signed, and cut in half."""

OFF_SECONDS = 3600.0

GONE = 410


class Bank(SimulatedBank[Config]):
    """One endpoint of one sender."""

    def __init__(self, config: Config, clock: Clock, sleep: Sleep) -> None:
        """Make up a private key, for where none is given."""
        super().__init__(config, clock, sleep)
        self._made_up = Ed25519PrivateKey.generate()

    @property
    def private_key(self) -> Ed25519PrivateKey:
        """The key that `v1a` signatures are made with."""
        given = self.config.private_key
        return self._made_up if given is None else private_key(given)

    def ends(self, attempt: Attempt) -> bool:
        """Tell whether an endpoint answers 410 Gone, which the specification reads as: it wants no more."""
        return attempt.status == GONE

    def compose(self, message: Message, sending: Sending, url: str) -> Callback:  # noqa: ARG002 - no address is signed
        """Return a message with its headers, signed or spoilt as the variant says."""
        variant = sending.variant
        text = message.text[: len(message.text) // 2] if variant == "not-json" else message.text
        body = text.encode()
        first = self._timestamp(variant)

        def headers() -> Mapping[str, str]:
            usual = {"Content-Type": "application/json"}
            if variant == "unsigned":
                return usual
            timestamp = self._timestamp(variant) if self.config.fresh_each_try else first
            return usual | self._signed(message.subject, timestamp, body, forged=variant == "forged")

        return Callback(body + b" " if variant == "altered" else body, headers)

    def _signed(self, message_id: str, timestamp: str, body: bytes, *, forged: bool) -> dict[str, str]:
        config = self.config
        signed = content(message_id, timestamp, body)
        made = []
        if config.signatures in ("v1", "both"):
            texts = [text for text in (config.secret, config.previous_secret) if text is not None]
            keys = [secrets.token_bytes(24)] if forged else [secret_bytes(text) for text in texts]
            made += [v1(key, signed) for key in keys]
        if config.signatures in ("v1a", "both"):
            made.append(v1a(Ed25519PrivateKey.generate() if forged else self.private_key, signed))
        values = {"id": message_id, "timestamp": timestamp, "signature": " ".join(made)}
        return {f"{config.headers}-{name}": value for name, value in values.items()}

    def _timestamp(self, variant: str) -> str:
        off = {"stale": -OFF_SECONDS, "future": OFF_SECONDS}.get(variant, 0.0)
        return str(int((self.clock() + timedelta(seconds=off)).timestamp()))


def message_id() -> str:
    """Return a new id, such as `msg_p5jXN8AQM9LWM0D4loKWxJek`."""
    return f"msg_{secrets.token_hex(12)}"


def public_key(key: Ed25519PrivateKey) -> str:
    """Return the public half as `whpk_` and Base64."""
    return "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def content(message_id: str, timestamp: str, body: bytes) -> bytes:
    """Return what is signed."""
    return f"{message_id}.{timestamp}.".encode() + body


def v1(key: bytes, signed: bytes) -> str:
    """Return a signature with a shared secret."""
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def v1a(key: Ed25519PrivateKey, signed: bytes) -> str:
    """Return a signature with a private key."""
    return "v1a," + base64.b64encode(key.sign(signed)).decode()
