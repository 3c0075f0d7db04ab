"""AES-GCM (NIST SP 800-38D) with the tag apart from the ciphertext, and with several keys at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from receiver.signing import hmac_sha256
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import Key, SecretEncoding

NONCE_BYTES = 12
TAG_BYTES = 16
KEY_BYTES = (32, 24)
"""AES-256; and AES-192, which is what 32 characters of Base64 come to."""

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Opened:
    """A ciphertext whose tag was found right under one key. Only `open_sealed` makes one."""

    key_id: str
    _material: bytes = field(repr=False)
    _nonce: bytes = field(repr=False)
    _tag: bytes = field(repr=False)
    _ciphertext: bytes = field(repr=False)

    def pieces(self) -> Iterator[bytes]:
        """Decrypt piece by piece, so that the whole plaintext is never held beside the ciphertext."""
        return _decrypt(self._material, self._nonce, self._tag, self._ciphertext)


def key(key_id: str, secret: str, encoding: SecretEncoding) -> Key:
    """Make a key of the secret's text.

    Raises:
        Refusal: `secret_malformed` where it does not come to 32 bytes (or 24, from Base64).
    """
    made = hmac_sha256.key(key_id, secret, encoding)
    allowed = KEY_BYTES if encoding == "base64" else KEY_BYTES[:1]
    if len(made.material) not in allowed:
        raise Refusal("secret_malformed", f"a key of {len(made.material)} bytes; AES-256 takes {KEY_BYTES[0]}")
    return made


def open_sealed(keys: Iterable[Key], nonce: bytes, tag: bytes, ciphertext: bytes) -> Opened:
    """Find the key under which `tag` is right, with no associated data. Not one byte of plaintext is let out before.

    Raises:
        Refusal: `nonce_malformed`, `tag_malformed` for another length; `tag_mismatch` where no key fits.
    """
    if len(nonce) != NONCE_BYTES:
        raise Refusal("nonce_malformed", f"{len(nonce)} bytes, {NONCE_BYTES} expected")
    # A shorter tag would be taken by the library, and be easier to guess.
    if len(tag) != TAG_BYTES:
        raise Refusal("tag_malformed", f"{len(tag)} bytes, {TAG_BYTES} expected")
    for candidate in keys:
        if _fits(candidate.material, nonce, tag, ciphertext):
            return Opened(candidate.id, candidate.material, nonce, tag, ciphertext)
    raise Refusal("tag_mismatch", "no known secret made this tag")


def seal(material: bytes, nonce: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
    """Encrypt; return ciphertext and tag. A nonce must never be used twice with one key."""
    sealed = AESGCM(material).encrypt(nonce, plaintext, None)
    return sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]


def _fits(material: bytes, nonce: bytes, tag: bytes, ciphertext: bytes) -> bool:
    try:
        for _ in _decrypt(material, nonce, tag, ciphertext):
            pass
    except InvalidTag:
        return False
    return True


def _decrypt(material: bytes, nonce: bytes, tag: bytes, ciphertext: bytes) -> Iterator[bytes]:
    decryptor = Cipher(algorithms.AES(material), modes.GCM(nonce, tag)).decryptor()
    view = memoryview(ciphertext)
    for start in range(0, len(view), PIECE_BYTES):
        yield decryptor.update(view[start : start + PIECE_BYTES])
    yield decryptor.finalize()
