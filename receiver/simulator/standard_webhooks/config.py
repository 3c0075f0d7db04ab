"""What a simulated sender of Standard Webhooks is started with."""

import base64
import binascii
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AfterValidator, Field

from receiver.simulator.options import BankConfig
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
