"""Standard Webhooks: the published vector, one made by openssl, and what must not pass."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from receiver.signing import standard_webhooks
from receiver.signing.errors import Refusal

# Published by standardwebhooks.com.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIMESTAMP, BODY = b"msg_p5jXN8AQM9LWM0D4loKWxJek", b"1614265330", b'{"test": 2432232314}'
SIGNATURE = b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

# The same message, signed by `openssl pkeyutl -sign -rawin` with a key of its own.
PUBLIC_KEY = "whpk_5uC4b+wPbPGfEZWkHZXBFoL4LNyt2lZjLngCxuMTgko="
SIGNATURE_BY_OPENSSL = b"v1a,f27v4ibpAtfD4IA+pmLOC9hRrbqqwCEb8kTYTtnQCTTlCsJ2zJA5O1nqYvOn5dwSFN+Oi4uS1uPex0UMR78ICQ=="

TEXT = standard_webhooks.text(ID, TIMESTAMP, BODY)


def verify(*secrets: str, signatures: bytes = SIGNATURE, text: bytes = TEXT) -> str:
    keys = [standard_webhooks.key(str(number), secret) for number, secret in enumerate(secrets)]
    return standard_webhooks.match(keys, text, standard_webhooks.signatures(signatures))


def reason(*secrets: str, signatures: bytes = SIGNATURE, text: bytes = TEXT) -> str:
    with pytest.raises(Refusal) as refused:
        verify(*secrets, signatures=signatures, text=text)
    return refused.value.reason


def whsec(material: bytes) -> str:
    return "whsec_" + base64.b64encode(material).decode()


def test_the_published_vector_is_right() -> None:
    assert verify(SECRET) == "0"


def test_the_secret_may_come_without_its_prefix() -> None:
    assert verify(SECRET.removeprefix("whsec_")) == "0"


def test_what_openssl_signs_with_ed25519_is_right() -> None:
    assert verify(PUBLIC_KEY, signatures=SIGNATURE_BY_OPENSSL) == "0"


def test_one_right_signature_among_several_is_enough() -> None:
    wrong = base64.b64encode(bytes(32))
    assert verify(SECRET, signatures=b"v1," + wrong + b" " + SIGNATURE_BY_OPENSSL + b" " + SIGNATURE) == "0"


def test_each_kind_of_key_finds_its_own_among_several() -> None:
    both = SIGNATURE + b" " + SIGNATURE_BY_OPENSSL
    assert verify(PUBLIC_KEY, signatures=both) == "0"
    assert verify(whsec(bytes(24)), PUBLIC_KEY, signatures=both) == "1"


def test_a_version_that_is_not_known_is_passed_over() -> None:
    assert verify(SECRET, signatures=b"v2,no.Base64! " + SIGNATURE) == "0"


def test_the_key_before_the_current_one_still_fits() -> None:
    assert verify(whsec(bytes(32)), SECRET) == "1"


@given(place=st.integers(0, len(TEXT) - 1), mask=st.integers(1, 255))
def test_one_changed_byte_of_the_text_fits_no_more(place: int, mask: int) -> None:
    changed = TEXT[:place] + bytes([TEXT[place] ^ mask]) + TEXT[place + 1 :]
    assert reason(SECRET, text=changed) == "signature_mismatch"
    assert reason(PUBLIC_KEY, signatures=SIGNATURE_BY_OPENSSL, text=changed) == "signature_mismatch"


@pytest.mark.parametrize("kind", [(b"v1,", SIGNATURE), (b"v1a,", SIGNATURE_BY_OPENSSL)])
@given(data=st.data())
def test_one_changed_byte_of_the_signature_fits_no_more(kind: tuple[bytes, bytes], data: st.DataObject) -> None:
    version, made = kind[0], base64.b64decode(kind[1].partition(b",")[2])
    place, mask = data.draw(st.integers(0, len(made) - 1)), data.draw(st.integers(1, 255))
    changed = made[:place] + bytes([made[place] ^ mask]) + made[place + 1 :]
    assert reason(SECRET, PUBLIC_KEY, signatures=version + base64.b64encode(changed)) == "signature_mismatch"


def test_a_public_key_never_serves_as_a_secret() -> None:
    """Else whoever knows the public key, that is everybody, could sign with it."""
    material = base64.b64decode(PUBLIC_KEY.removeprefix("whpk_"))
    version, made = standard_webhooks.sign(material, ID, TIMESTAMP, BODY)
    assert reason(PUBLIC_KEY, signatures=version + b"," + base64.b64encode(made)) == "signature_mismatch"


def test_a_signature_of_one_kind_is_not_taken_for_the_other() -> None:
    assert reason(SECRET, signatures=b"v1a," + SIGNATURE.partition(b",")[2]) == "signature_mismatch"


@pytest.mark.parametrize(
    "header",
    [
        b"v1,not Base64",
        b"v1,",
        b"v1",
        b"v1a,!!!!",
        SIGNATURE + b"=",
        SIGNATURE[:-1],
        SIGNATURE[:-1] + b" v1,\xff",
        b"v1,\x00",
        b" ".join([SIGNATURE] * 21),
        b",".join([SIGNATURE] * 21),
        b"v1," + b"A" * 5000,
    ],
)
def test_where_no_signature_can_be_read_or_there_are_too_many_it_is_a_refusal(header: bytes) -> None:
    assert reason(SECRET, signatures=header) == "signature_malformed"


@pytest.mark.parametrize(
    "unreadable", [b"v1,abc", b"v1,", b"v1", b"v1a,!!!!", b"v1,\xff", b"v2,x", SIGNATURE + b"=", b"junk"]
)
@pytest.mark.parametrize("between", [b" ", b",", b", ", b"  ", b"\t"])
def test_a_right_signature_counts_beside_one_that_can_t_be_read(unreadable: bytes, between: bytes) -> None:
    for parts in ([SIGNATURE, unreadable], [unreadable, SIGNATURE], [unreadable, SIGNATURE, unreadable]):
        assert verify(SECRET, signatures=between.join(parts)) == "0"


def test_several_headers_that_were_joined_by_commas_are_all_read() -> None:
    wrong = b"v1," + base64.b64encode(bytes(32))
    assert verify(SECRET, signatures=b",".join([wrong, SIGNATURE_BY_OPENSSL, SIGNATURE])) == "0"
    assert verify(PUBLIC_KEY, signatures=b",".join([wrong, SIGNATURE, SIGNATURE_BY_OPENSSL])) == "0"


@pytest.mark.parametrize("header", [b" ", b"v3,abc", b",", b"V1," + SIGNATURE[3:]])
def test_a_header_without_a_signature_of_a_known_version_matches_nothing(header: bytes) -> None:
    assert reason(SECRET, signatures=header) == "signature_mismatch"


@given(st.binary(max_size=200))
def test_no_header_makes_anything_but_a_verdict(header: bytes) -> None:
    assert reason(SECRET, PUBLIC_KEY, signatures=header) in ("signature_malformed", "signature_mismatch")


@pytest.mark.parametrize("message_id", [b"", b"msg.1", b"msg 1", b"msg\n1", "msg_\u00e4".encode(), b"m" * 201, b"\x00"])
def test_an_id_that_could_be_cut_otherwise_is_refused(message_id: bytes) -> None:
    with pytest.raises(Refusal, match="id_malformed"):
        standard_webhooks.check_id(message_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_not Base64",
        whsec(bytes(23)),
        whsec(bytes(65)),
        "whpk_" + base64.b64encode(bytes(31)).decode(),
        "whpk_",
        "whsk_" + base64.b64encode(bytes(64)).decode(),
        "\udcff",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=",
    ],
)
def test_a_secret_that_makes_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Refusal, match="secret_malformed") as refused:
        standard_webhooks.key("1", text)
    assert not text or text not in str(refused.value)


def test_a_private_key_is_told_from_a_public_one() -> None:
    with pytest.raises(Refusal, match="whpk_"):
        standard_webhooks.key("1", "whsk_" + base64.b64encode(bytes(64)).decode())


def test_no_key_shows_in_its_repr() -> None:
    assert "MfKQ" not in repr(standard_webhooks.key("1", SECRET))


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=300))
def test_what_is_signed_here_is_verified_here(material: bytes, body: bytes) -> None:
    for made_with, secret in (
        (material, whsec(material)),
        (Ed25519PrivateKey.from_private_bytes(material[:24] + bytes(8)), None),
    ):
        version, made = standard_webhooks.sign(made_with, ID, TIMESTAMP, body)
        if secret is None:
            assert isinstance(made_with, Ed25519PrivateKey)
            secret = "whpk_" + base64.b64encode(made_with.public_key().public_bytes_raw()).decode()
        header = version + b"," + base64.b64encode(made)
        assert verify(secret, signatures=header, text=standard_webhooks.text(ID, TIMESTAMP, body)) == "0"
