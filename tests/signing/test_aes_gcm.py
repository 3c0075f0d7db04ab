"""AES-GCM against vectors that Node's `crypto` made: see aes_gcm_vectors.js."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from receiver.signing import aes_gcm
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import Key, SecretEncoding

VECTORS = json.loads((Path(__file__).parent / "aes_gcm_vectors.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Vector:
    name: str
    key: str
    text: str
    nonce: bytes
    tag: bytes
    checksum: bytes
    body: bytes


def vectors() -> list[Vector]:
    return [
        Vector(
            name=vector["name"],
            key=vector["key"],
            text=vector["text"],
            nonce=base64.b64decode(vector["nonce"]),
            tag=base64.b64decode(vector["tag"]),
            checksum=base64.b64decode(vector["checksum"]),
            body=base64.b64decode(vector["body"]),
        )
        for vector in VECTORS
    ]


each_vector = pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector.name)
SHORT = next(vector for vector in vectors() if vector.name == "cjk")


def opened(vector: Vector, **changes: bytes) -> bytes:
    material = changes.pop("key", vector.key.encode())
    parts = {"nonce": vector.nonce, "tag": vector.tag, "ciphertext": vector.body} | changes
    return b"".join(aes_gcm.open_sealed([Key("k", material)], **parts).pieces())


def every_flipped_bit(value: bytes) -> list[bytes]:
    return [
        value[:place] + bytes([value[place] ^ (1 << bit)]) + value[place + 1 :]
        for place in range(len(value))
        for bit in range(8)
    ]


@each_vector
def test_a_text_that_node_encrypted_opens(vector: Vector) -> None:
    key = aes_gcm.key("secret:1", vector.key, "utf8")
    found = aes_gcm.open_sealed([key], vector.nonce, vector.tag, vector.body)
    assert found.key_id == "secret:1"
    text = b"".join(found.pieces()).decode("utf-16-le")
    assert text == vector.text
    assert hashlib.sha256(text.encode()).digest() == vector.checksum


@each_vector
def test_it_encrypts_to_the_bytes_that_node_makes(vector: Vector) -> None:
    sealed = aes_gcm.seal(vector.key.encode(), vector.nonce, vector.text.encode("utf-16-le"))
    assert sealed == (vector.body, vector.tag)


@pytest.mark.parametrize("part", ["key", "nonce", "tag", "ciphertext"])
def test_any_flipped_bit_is_refused(part: str) -> None:
    whole = {"key": SHORT.key.encode(), "nonce": SHORT.nonce, "tag": SHORT.tag, "ciphertext": SHORT.body}
    tried = 0
    for changed in every_flipped_bit(whole[part]):
        with pytest.raises(Refusal, match=r"^tag_mismatch: "):
            opened(SHORT, **{part: changed})
        tried += 1
    assert tried == len(whole[part]) * 8


@pytest.mark.parametrize("changed", [SHORT.body[:-1], SHORT.body + b"\0", b""])
def test_a_body_cut_short_or_lengthened_is_refused(changed: bytes) -> None:
    with pytest.raises(Refusal, match=r"^tag_mismatch: "):
        opened(SHORT, ciphertext=changed)


@pytest.mark.parametrize("size", [0, 4, 12, 15, 17])
def test_a_tag_of_another_length_is_refused_even_if_its_bytes_are_right(size: int) -> None:
    with pytest.raises(Refusal, match=r"^tag_malformed: "):
        opened(SHORT, tag=(SHORT.tag + b"\0")[:size])


@pytest.mark.parametrize("size", [0, 8, 11, 13, 16])
def test_a_nonce_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(Refusal, match=r"^nonce_malformed: "):
        opened(SHORT, nonce=bytes(size))


def test_the_key_that_fits_is_found_among_several() -> None:
    keys = [Key("new", b"n" * 32), Key("right", SHORT.key.encode()), Key("old", b"o" * 32)]
    assert aes_gcm.open_sealed(keys, SHORT.nonce, SHORT.tag, SHORT.body).key_id == "right"


def test_no_key_at_all_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^tag_mismatch: "):
        aes_gcm.open_sealed([], SHORT.nonce, SHORT.tag, SHORT.body)


@pytest.mark.parametrize("size", [aes_gcm.PIECE_BYTES - 1, aes_gcm.PIECE_BYTES, 3 * aes_gcm.PIECE_BYTES + 1])
def test_what_is_longer_than_a_piece_comes_out_whole(size: int) -> None:
    text = bytes(number % 251 for number in range(size))
    body, tag = aes_gcm.seal(b"k" * 32, b"n" * 12, text)
    found = aes_gcm.open_sealed([Key("k", b"k" * 32)], b"n" * 12, tag, body)
    assert b"".join(found.pieces()) == text


@pytest.mark.parametrize(
    ("secret", "encoding", "size"),
    [
        ("k" * 32, "utf8", 32),
        (base64.b64encode(b"k" * 32).decode(), "base64", 32),
        ("k" * 32, "base64", 24),
    ],
)
def test_a_secret_becomes_a_key_by_its_encoding(secret: str, encoding: SecretEncoding, size: int) -> None:
    assert len(aes_gcm.key("k", secret, encoding).material) == size


@pytest.mark.parametrize(
    ("secret", "encoding"),
    [("k" * 31, "utf8"), ("k" * 33, "utf8"), ("ü" * 32, "utf8"), ("k" * 24, "utf8"), ("", "utf8"), ("AAAA", "base64")],
)
def test_a_secret_of_another_length_makes_no_key(secret: str, encoding: SecretEncoding) -> None:
    with pytest.raises(Refusal, match=r"^secret_malformed: "):
        aes_gcm.key("k", secret, encoding)


def test_no_key_shows_in_a_repr() -> None:
    found = aes_gcm.open_sealed([Key("k", SHORT.key.encode())], SHORT.nonce, SHORT.tag, SHORT.body)
    assert "schl" not in repr(found)
