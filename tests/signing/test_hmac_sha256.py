import base64
import subprocess
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.signing import concatenation, hmac_sha256
from receiver.signing.errors import Refusal

TIMESTAMP, NONCE, METHOD, PATH = b"1733400000", b"0f8fad5b-d9cb-469f-a165-70867728950e", b"POST", b"/webhooks/bcb"

OLD = hmac_sha256.Key("old", b"o" * 32)
MIDDLE = hmac_sha256.Key("middle", b"m" * 32)
NEW = hmac_sha256.Key("new", b"n" * 32)


def signed_by_openssl(material: bytes, text: bytes) -> bytes:
    """The 32 bytes that the openssl command makes; without the command the test fails."""
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{material.hex()}", "-binary"]
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout


def flipped(value: bytes, data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(value) - 1), label="place")
    mask = data.draw(st.integers(1, 255), label="mask")
    return value[:place] + bytes([value[place] ^ mask]) + value[place + 1 :]


@pytest.fixture
def example_text(example_body: bytes) -> bytes:
    return TIMESTAMP + NONCE + METHOD + PATH + example_body


@pytest.fixture
def signature_by_decoded_secret(example_secret: str, example_text: bytes) -> bytes:
    return signed_by_openssl(base64.b64decode(example_secret), example_text)


@pytest.fixture
def signature_by_secret_text(example_secret: str, example_text: bytes) -> bytes:
    return signed_by_openssl(example_secret.encode(), example_text)


def test_the_published_example_signed_with_the_decoded_secret_verifies_with_base64(
    example_secret: str, example_body: bytes, signature_by_decoded_secret: bytes
) -> None:
    key = hmac_sha256.key("published", example_secret, "base64")
    text = concatenation.text(TIMESTAMP, NONCE, METHOD, PATH, example_body)
    assert hmac_sha256.match([key], text, signature_by_decoded_secret) == "published"


def test_the_published_example_signed_with_the_secret_as_text_verifies_with_utf8(
    example_secret: str, example_body: bytes, signature_by_secret_text: bytes
) -> None:
    key = hmac_sha256.key("published", example_secret, "utf8")
    text = concatenation.text(TIMESTAMP, NONCE, METHOD, PATH, example_body)
    assert hmac_sha256.match([key], text, signature_by_secret_text) == "published"


def test_a_signature_with_the_decoded_secret_is_refused_with_utf8(
    example_secret: str, example_text: bytes, signature_by_decoded_secret: bytes
) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match(
            [hmac_sha256.key("published", example_secret, "utf8")], example_text, signature_by_decoded_secret
        )


def test_a_signature_with_the_secret_as_text_is_refused_with_base64(
    example_secret: str, example_text: bytes, signature_by_secret_text: bytes
) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match(
            [hmac_sha256.key("published", example_secret, "base64")], example_text, signature_by_secret_text
        )


def test_both_encodings_at_once_tell_which_one_fits(
    example_secret: str, example_text: bytes, signature_by_secret_text: bytes
) -> None:
    keys = [hmac_sha256.key(encoding, example_secret, encoding) for encoding in ("base64", "utf8")]
    assert hmac_sha256.match(keys, example_text, signature_by_secret_text) == "utf8"


def test_it_signs_as_openssl_does(example_secret: str, example_text: bytes, signature_by_decoded_secret: bytes) -> None:
    material = base64.b64decode(example_secret)
    assert hmac_sha256.sign(material, example_text) == signature_by_decoded_secret


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_it_signs_as_openssl_does_with_a_key_of_any_length(length: int, example_text: bytes) -> None:
    material = bytes(range(1, length + 1))
    assert hmac_sha256.sign(material, example_text) == signed_by_openssl(material, example_text)


def test_it_signs_an_empty_body_as_openssl_does() -> None:
    text = concatenation.text(TIMESTAMP, NONCE, METHOD, PATH, b"")
    assert hmac_sha256.sign(OLD.material, text) == signed_by_openssl(OLD.material, TIMESTAMP + NONCE + METHOD + PATH)


@settings(deadline=None)
@given(material=st.binary(min_size=1, max_size=100), text=st.binary(max_size=300))
def test_it_matches_what_it_signs(material: bytes, text: bytes) -> None:
    key = hmac_sha256.Key("only", material)
    assert hmac_sha256.match([key], text, hmac_sha256.sign(material, text)) == "only"


@settings(deadline=None)
@given(text=st.binary(min_size=1, max_size=300), data=st.data())
def test_it_refuses_a_text_with_one_byte_changed(text: bytes, data: st.DataObject) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([OLD], flipped(text, data), hmac_sha256.sign(OLD.material, text))


@settings(deadline=None)
@given(text=st.binary(max_size=300), data=st.data())
def test_it_refuses_a_signature_with_one_byte_changed(text: bytes, data: st.DataObject) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([OLD], text, flipped(hmac_sha256.sign(OLD.material, text), data))


@settings(deadline=None)
@given(material=st.binary(min_size=1, max_size=100), text=st.binary(max_size=300), data=st.data())
def test_it_refuses_a_key_with_one_byte_changed(material: bytes, text: bytes, data: st.DataObject) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([hmac_sha256.Key("off", flipped(material, data))], text, hmac_sha256.sign(material, text))


def test_it_refuses_every_changed_bit_of_the_example(example_text: bytes) -> None:
    signature = hmac_sha256.sign(OLD.material, example_text)
    for bit in range(len(example_text) * 8):
        changed = bytearray(example_text)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refusal, match=r"^signature_mismatch: "):
            hmac_sha256.match([OLD], bytes(changed), signature)


@pytest.mark.parametrize("length", [0, 1, 31])
def test_it_refuses_the_beginning_of_a_signature(length: int) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([OLD], b"text", hmac_sha256.sign(OLD.material, b"text")[:length])


@pytest.mark.parametrize("more", [b"\x00", b"\n", b"\x00" * 32])
def test_it_refuses_a_signature_with_bytes_added(more: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([OLD], b"text", hmac_sha256.sign(OLD.material, b"text") + more)


def test_it_refuses_the_signature_as_hexadecimal_text() -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([OLD], b"text", hmac_sha256.sign(OLD.material, b"text").hex().encode())


@settings(deadline=None)
@given(signature=st.binary(max_size=64))
def test_it_refuses_arbitrary_signatures(signature: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([OLD, NEW], b"text", signature)


def test_it_refuses_a_signature_of_a_megabyte() -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([OLD], b"text", b"\x00" * 2**20)


def test_it_refuses_where_there_are_no_keys() -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([], b"text", hmac_sha256.sign(b"", b"text"))


def test_its_refusal_is_not_marked_as_proven() -> None:
    with pytest.raises(Refusal) as caught:
        hmac_sha256.match([OLD], b"text", b"\x00" * 32)
    assert not caught.value.proven


@pytest.mark.parametrize("signer", [OLD, MIDDLE, NEW], ids=lambda key: key.id)
def test_it_names_the_key_that_matched(signer: hmac_sha256.Key) -> None:
    signature = hmac_sha256.sign(signer.material, b"text")
    assert hmac_sha256.match([OLD, MIDDLE, NEW], b"text", signature) == signer.id


def test_it_refuses_a_key_that_is_no_longer_listed() -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        hmac_sha256.match([MIDDLE, NEW], b"text", hmac_sha256.sign(OLD.material, b"text"))


def test_it_names_the_first_of_two_keys_with_the_same_material() -> None:
    twin = hmac_sha256.Key("twin", OLD.material)
    assert hmac_sha256.match([OLD, twin], b"text", hmac_sha256.sign(OLD.material, b"text")) == "old"


@pytest.mark.parametrize("signer", [OLD, NEW], ids=lambda key: key.id)
def test_it_tries_both_keys_that_share_an_id(signer: hmac_sha256.Key) -> None:
    keys = [hmac_sha256.Key("same", OLD.material), hmac_sha256.Key("same", NEW.material)]
    assert hmac_sha256.match(keys, b"text", hmac_sha256.sign(signer.material, b"text")) == "same"


def test_it_tries_the_keys_after_the_one_that_matched() -> None:
    keys = iter([OLD, MIDDLE, NEW])
    hmac_sha256.match(keys, b"text", hmac_sha256.sign(OLD.material, b"text"))
    assert next(keys, None) is None


def test_a_key_may_have_an_empty_id() -> None:
    key = hmac_sha256.Key("", b"k" * 32)
    assert hmac_sha256.match([key], b"text", hmac_sha256.sign(key.material, b"text")) == ""


@pytest.mark.parametrize(
    "secret", ["?", "HtYp2oJm5DwQ1xL8bSeRgUkN4vZc3PhYtLwSxV2N9Cs", "HtYp-_==", " HtYp", "HtYp\n", "\u0397tYp", "\x00"]
)
def test_it_refuses_a_secret_that_is_not_base64(secret: str) -> None:
    with pytest.raises(Refusal, match=r"^secret_malformed: "):
        hmac_sha256.key("bad", secret, "base64")


@pytest.mark.parametrize("encoding", ["base64", "utf8"])
def test_it_refuses_an_empty_secret(encoding: hmac_sha256.SecretEncoding) -> None:
    with pytest.raises(Refusal, match=r"^secret_malformed: "):
        hmac_sha256.key("empty", "", encoding)


@pytest.mark.parametrize("encoding", ["base64", "utf8"])
def test_it_refuses_a_secret_that_utf8_cannot_write(encoding: hmac_sha256.SecretEncoding) -> None:
    with pytest.raises(Refusal, match=r"^secret_malformed: "):
        hmac_sha256.key("surrogate", "\udcff", encoding)


def test_a_secret_as_text_may_hold_any_script() -> None:
    assert hmac_sha256.key("any", "\u0397\u03bc", "utf8").material == b"\xce\x97\xce\xbc"


@pytest.mark.parametrize("encoding", ["base64", "utf8"])
def test_a_key_never_shows_its_material(encoding: hmac_sha256.SecretEncoding, example_secret: str) -> None:
    key = hmac_sha256.key("published", example_secret, encoding)
    shown = f"{key!r} {key} {[key]}"
    shapes = [repr(key.material)[2:-1], key.material.hex(), base64.b64encode(key.material).decode(), example_secret]
    assert not [shape for shape in shapes if shape in shown]


def test_a_refused_secret_is_not_shown_in_the_refusal_or_its_traceback(example_secret: str) -> None:
    secret = example_secret.rstrip("=")
    with pytest.raises(Refusal) as caught:
        hmac_sha256.key("published", secret, "base64")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert secret not in shown


def test_a_mismatch_shows_neither_key_nor_signature(example_secret: str) -> None:
    key = hmac_sha256.key("published", example_secret, "base64")
    signature = hmac_sha256.sign(key.material, b"text")
    with pytest.raises(Refusal) as caught:
        hmac_sha256.match([key], b"other text", signature)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    values = [key.material, signature]
    shapes = [*map(repr, values), *(value.hex() for value in values), *(base64.b64encode(v).decode() for v in values)]
    assert not [shape for shape in shapes if shape in shown]
