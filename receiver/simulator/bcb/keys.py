"""The bank's RSA key, and the JWKS that shows its public half (RFC 7517)."""

import threading
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

BITS = 2048


@dataclass(frozen=True)
class SigningKey:
    """A key pair; the sheet names it `rsa-{version}` in the JWKS (`kid`) and, as far as is known, `rsa-v{version}` in
    the header `Bcb-Signature-Version`."""

    version: int
    private_key: RSAPrivateKey = field(repr=False)

    @property
    def kid(self) -> str:
        """The key's name in the JWKS."""
        return f"rsa-{self.version}"

    @property
    def signature_version(self) -> str:
        """The value of `Bcb-Signature-Version`."""
        return f"rsa-v{self.version}"

    def as_jwk(self) -> dict[str, object]:
        """Return the public half as a JWK."""
        public = RSAAlgorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        return {"kty": "RSA", "use": "sig", "kid": self.kid, "alg": "PS256", "n": public["n"], "e": public["e"]}


class KeyRing:
    """Holds one key at a time, made when it is first asked for."""

    def __init__(self) -> None:
        self._current: SigningKey | None = None
        self._lock = threading.Lock()

    def current(self) -> SigningKey:
        """Return the key that signs now."""
        with self._lock:
            if self._current is None:
                self._current = _new(1)
            return self._current

    def rotate(self, *, keep_version: bool = False) -> SigningKey:
        """Replace the key and return the new one; `keep_version` leaves `kid` and header as they were."""
        version = self.current().version
        fresh = _new(version if keep_version else version + 1)
        with self._lock:
            self._current = fresh
        return fresh

    def jwks(self) -> dict[str, object]:
        """Return the JWKS document: one key, the current one."""
        return {"keys": [self.current().as_jwk()]}


def _new(version: int) -> SigningKey:
    return SigningKey(version, generate_private_key(public_exponent=65537, key_size=BITS))
