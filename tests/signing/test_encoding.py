import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import from_base64, to_base64

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_it_decodes_what_it_encodes(value: bytes) -> None:
    assert from_base64(to_base64(value), "signature") == value


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_it_encodes_as_the_standard_library_does(value: bytes) -> None:
    assert to_base64(value) == base64.b64encode(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"A", id="one character"),
        pytest.param(b"AA", id="padding missing"),
        pytest.param(b"AAA", id="one padding missing"),
        pytest.param(b"AA=", id="second padding missing"),
        pytest.param(b"AA===", id="padding too long after one byte"),
        pytest.param(b"AAA==", id="padding too long after two bytes"),
        pytest.param(b"=", id="padding alone"),
        pytest.param(b"====", id="a group of padding"),
        pytest.param(b"AA=A", id="padding inside"),
        pytest.param(b"AA==AA==", id="two values in a row"),
        pytest.param(b"-_AA", id="the alphabet for addresses"),
        pytest.param(b" AAAA", id="a space before"),
        pytest.param(b"AAAA ", id="a space after"),
        pytest.param(b"AA AA", id="a space inside"),
        pytest.param(b"AAAA\n", id="a trailing newline"),
        pytest.param(b"AAAA\r\nAAAA", id="two lines"),
        pytest.param(b"AAA\x00", id="a NUL"),
        pytest.param(b"\xef\xbc\xa1AAA", id="a full-width letter"),
        pytest.param(b"\xff\xfe\xfd\xfc", id="bytes that are not UTF-8"),
    ],
)
def test_it_refuses_what_is_not_standard_base64(value: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_malformed: "):
        from_base64(value, "signature")


@pytest.mark.parametrize("padding", [b"=", b"==", b"===", b"===="])
def test_it_refuses_padding_after_a_full_group(padding: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_malformed: "):
        from_base64(b"AAAA" + padding, "signature")


@pytest.mark.parametrize("value", [b"AB==", b"A/==", b"AAB=", b"AAD="])
def test_it_refuses_bits_that_the_padding_leaves_over(value: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_malformed: "):
        from_base64(value, "signature")


@settings(deadline=None)
@given(value=st.binary(min_size=1, max_size=80), data=st.data())
def test_it_refuses_a_changed_character_or_decodes_another_value(value: bytes, data: st.DataObject) -> None:
    encoded = bytearray(base64.b64encode(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = data.draw(st.sampled_from([byte for byte in ALPHABET + b"=" if byte != encoded[place]]))
    try:
        decoded = from_base64(bytes(encoded), "signature")
    except Refusal:
        return
    assert decoded != value


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_it_meets_arbitrary_bytes_with_a_refusal_or_a_value(value: bytes) -> None:
    try:
        decoded = from_base64(value, "signature")
    except Refusal as refusal:
        assert refusal.reason == "signature_malformed"  # noqa: PT017
    else:
        assert len(decoded) <= len(value)


def test_it_refuses_a_megabyte_outside_the_alphabet_with_a_short_text() -> None:
    with pytest.raises(Refusal) as caught:
        from_base64(b"!" * 2**20, "signature")
    assert len(str(caught.value)) < 200


def test_its_reason_names_what_was_malformed() -> None:
    with pytest.raises(Refusal) as caught:
        from_base64(b"?", "secret")
    assert caught.value.reason == "secret_malformed"
