import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver.signing import rsa_pss
from receiver.signing.errors import Refusal

TEXT = b'1733400000nonce-1POST/webhooks/bcb{"topic":"Deposits"}'
PS256 = ("rsa_padding_mode:pss", "rsa_pss_saltlen:32", "rsa_mgf1_md:sha256")


def openssl(*arguments: str, given_text: bytes = b"") -> bytes:
    """Without the openssl command the test fails."""
    return subprocess.run(["openssl", *arguments], input=given_text, capture_output=True, check=True).stdout


def made_key(folder: Path, name: str, bits: int) -> Path:
    file = folder / f"{name}.pem"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", "-out", str(file))
    return file


def signed_by_openssl(file: Path, text: bytes, options: tuple[str, ...] = PS256, digest: str = "-sha256") -> bytes:
    sigopts = [part for option in options for part in ("-sigopt", option)]
    return openssl("dgst", digest, "-sign", str(file), *sigopts, given_text=text)


def base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def modulus(file: Path) -> int:
    return int(openssl("rsa", "-in", str(file), "-noout", "-modulus").decode().strip().removeprefix("Modulus="), 16)


def jwk(file: Path, kid: str) -> dict[str, object]:
    return {"kty": "RSA", "use": "sig", "alg": "PS256", "kid": kid, "n": base64url(modulus(file)), "e": "AQAB"}


def jwks(*entries: object) -> bytes:
    return json.dumps({"keys": entries}).encode()


def flipped(value: bytes, place: int, mask: int) -> bytes:
    return value[:place] + bytes([value[place] ^ mask]) + value[place + 1 :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rsa")


@pytest.fixture(scope="module")
def bank(folder: Path) -> Path:
    return made_key(folder, "bank", 2048)


@pytest.fixture(scope="module")
def other(folder: Path) -> Path:
    return made_key(folder, "other", 2048)


@pytest.fixture(scope="module")
def weak(folder: Path) -> Path:
    return made_key(folder, "weak", 1024)


@pytest.fixture(scope="module")
def entry(bank: Path) -> dict[str, object]:
    return jwk(bank, "rsa-1")


@pytest.fixture(scope="module")
def keys(entry: dict[str, object]) -> list[rsa_pss.PublicKey]:
    return rsa_pss.public_keys(jwks(entry))


@pytest.fixture(scope="module")
def signature(bank: Path) -> bytes:
    return signed_by_openssl(bank, TEXT)


def test_a_signature_made_by_openssl_verifies_through_the_jwks(keys: list[rsa_pss.PublicKey], signature: bytes) -> None:
    assert rsa_pss.match(keys, TEXT, signature) == "rsa-1"


def test_the_jwks_may_be_text(entry: dict[str, object], signature: bytes) -> None:
    assert rsa_pss.match(rsa_pss.public_keys(jwks(entry).decode()), TEXT, signature) == "rsa-1"


def test_openssl_verifies_what_it_signs(folder: Path, bank: Path) -> None:
    private = load_pem_private_key(bank.read_bytes(), password=None)
    assert isinstance(private, RSAPrivateKey)
    file = folder / "ours.sig"
    file.write_bytes(rsa_pss.sign(private, TEXT))
    options = [part for option in PS256 for part in ("-sigopt", option)]
    said = openssl("dgst", "-sha256", "-prverify", str(bank), *options, "-signature", str(file), given_text=TEXT)
    assert said == b"Verified OK\n"


@pytest.mark.parametrize(
    ("options", "digest"),
    [
        pytest.param(("rsa_padding_mode:pss", "rsa_pss_saltlen:20", "rsa_mgf1_md:sha256"), "-sha256", id="salt of 20"),
        pytest.param(("rsa_padding_mode:pss", "rsa_pss_saltlen:0", "rsa_mgf1_md:sha256"), "-sha256", id="no salt"),
        pytest.param(("rsa_padding_mode:pss", "rsa_pss_saltlen:max", "rsa_mgf1_md:sha256"), "-sha256", id="most salt"),
        pytest.param(("rsa_padding_mode:pss", "rsa_pss_saltlen:32", "rsa_mgf1_md:sha1"), "-sha256", id="MGF1-SHA-1"),
        pytest.param(("rsa_padding_mode:pss", "rsa_pss_saltlen:32", "rsa_mgf1_md:sha256"), "-sha512", id="SHA-512"),
        pytest.param(("rsa_padding_mode:pkcs1",), "-sha256", id="PKCS#1 v1.5"),
    ],
)
def test_it_refuses_every_other_way_to_sign(
    bank: Path, keys: list[rsa_pss.PublicKey], options: tuple[str, ...], digest: str
) -> None:
    other_way = signed_by_openssl(bank, TEXT, options, digest)
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(keys, TEXT, other_way)


@settings(deadline=None)
@given(data=st.data())
def test_it_refuses_a_text_with_one_byte_changed(
    keys: list[rsa_pss.PublicKey], signature: bytes, data: st.DataObject
) -> None:
    changed = flipped(TEXT, data.draw(st.integers(0, len(TEXT) - 1)), data.draw(st.integers(1, 255)))
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(keys, changed, signature)


@settings(deadline=None)
@given(place=st.integers(0, 255), mask=st.integers(1, 255))
def test_it_refuses_a_signature_with_one_byte_changed(
    keys: list[rsa_pss.PublicKey], signature: bytes, place: int, mask: int
) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(keys, TEXT, flipped(signature, place, mask))


@settings(deadline=None)
@given(place=st.integers(0, 255), mask=st.integers(1, 255))
def test_it_refuses_a_modulus_with_one_byte_changed(
    entry: dict[str, object], signature: bytes, place: int, mask: int
) -> None:
    n = flipped(base64.urlsafe_b64decode(f"{entry['n']}=="), place, mask)
    changed = entry | {"n": base64.urlsafe_b64encode(n).rstrip(b"=").decode()}
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(rsa_pss.public_keys(jwks(changed)), TEXT, signature)


@settings(deadline=None)
@given(place=st.integers(0, 2), mask=st.integers(1, 255))
def test_it_refuses_an_exponent_with_one_byte_changed(
    entry: dict[str, object], signature: bytes, place: int, mask: int
) -> None:
    e = base64.urlsafe_b64encode(flipped(b"\x01\x00\x01", place, mask)).decode()
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(rsa_pss.public_keys(jwks(entry | {"e": e})), TEXT, signature)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=300), st.binary(min_size=256, max_size=256)))
def test_it_refuses_arbitrary_signatures(keys: list[rsa_pss.PublicKey], forged: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(keys, TEXT, forged)


@pytest.mark.parametrize("length", [0, 1, 255])
def test_it_refuses_the_beginning_of_a_signature(keys: list[rsa_pss.PublicKey], signature: bytes, length: int) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(keys, TEXT, signature[:length])


@pytest.mark.parametrize("more", [b"\x00", b"\n", b"\x00" * 2**20], ids=["a NUL", "a newline", "a megabyte"])
def test_it_refuses_a_signature_with_bytes_added(keys: list[rsa_pss.PublicKey], signature: bytes, more: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(keys, TEXT, signature + more)


def test_it_refuses_a_signature_with_a_leading_zero_byte(keys: list[rsa_pss.PublicKey], signature: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(keys, TEXT, b"\x00" + signature)


def test_it_refuses_where_there_are_no_keys(signature: bytes) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match([], TEXT, signature)


def test_its_refusal_is_not_marked_as_proven(keys: list[rsa_pss.PublicKey]) -> None:
    with pytest.raises(Refusal) as caught:
        rsa_pss.match(keys, TEXT, b"\x01" * 256)
    assert not caught.value.proven


def test_it_refuses_the_signature_of_a_key_that_is_not_listed(keys: list[rsa_pss.PublicKey], other: Path) -> None:
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(keys, TEXT, signed_by_openssl(other, TEXT))


@pytest.mark.parametrize("signer", ["rsa-1", "rsa-2"])
def test_it_names_the_key_that_matched(bank: Path, other: Path, signer: str) -> None:
    several = rsa_pss.public_keys(jwks(jwk(bank, "rsa-1"), jwk(other, "rsa-2")))
    signature = signed_by_openssl({"rsa-1": bank, "rsa-2": other}[signer], TEXT)
    assert rsa_pss.match(several, TEXT, signature) == signer


@pytest.mark.parametrize("first", ["bank", "other"])
def test_it_tries_both_keys_that_share_a_kid(bank: Path, other: Path, first: str) -> None:
    files = [bank, other] if first == "bank" else [other, bank]
    several = rsa_pss.public_keys(jwks(*(jwk(file, "same") for file in files)))
    assert rsa_pss.match(several, TEXT, signed_by_openssl(bank, TEXT)) == "same"


def test_it_keeps_the_order_of_the_document(bank: Path, other: Path) -> None:
    several = rsa_pss.public_keys(jwks(jwk(bank, "rsa-2"), jwk(other, "rsa-1")))
    assert [key.id for key in several] == ["rsa-2", "rsa-1"]


@pytest.mark.parametrize("absent", ["use", "alg"])
def test_a_member_that_the_standard_leaves_optional_may_be_absent_or_null(
    entry: dict[str, object], absent: str
) -> None:
    shorter = {name: value for name, value in entry.items() if name != absent}
    for document in (shorter, {**shorter, absent: None}):
        assert [key.id for key in rsa_pss.public_keys(jwks(document))] == ["rsa-1"]


def test_a_key_without_a_kid_has_an_empty_id(entry: dict[str, object]) -> None:
    shorter = {name: value for name, value in entry.items() if name != "kid"}
    assert [key.id for key in rsa_pss.public_keys(jwks(shorter))] == [""]


@pytest.mark.parametrize("absent", ["kty", "n", "e"])
def test_it_passes_over_a_key_that_lacks_a_member(entry: dict[str, object], absent: str) -> None:
    shorter = {name: value for name, value in entry.items() if name != absent}
    assert rsa_pss.public_keys(jwks(shorter)) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"use": "enc"}, id="for encryption"),
        pytest.param({"alg": "RS256"}, id="for another algorithm"),
        pytest.param({"alg": "PS384"}, id="for another digest"),
        pytest.param({"alg": "RSA-OAEP", "use": None}, id="for encryption by its algorithm"),
        pytest.param({"alg": ["PS256"]}, id="alg is a list"),
        pytest.param({"alg": ""}, id="alg is empty"),
        pytest.param({"use": ""}, id="use is empty"),
        pytest.param({"use": ["sig"]}, id="use is a list"),
        pytest.param({"kty": "EC"}, id="kty EC"),
        pytest.param({"kty": "oct", "k": "AAAA"}, id="kty oct"),
        pytest.param({"kty": "rsa"}, id="kty in lower case"),
        pytest.param({"n": ""}, id="n is empty"),
        pytest.param({"n": 7}, id="n is a number"),
        pytest.param({"n": None}, id="n is null"),
        pytest.param({"n": ["AQAB"]}, id="n is a list"),
        pytest.param({"n": "*not base64*"}, id="n is not Base64"),
        pytest.param({"n": "\ud800"}, id="n is half a surrogate pair"),
        pytest.param({"e": ""}, id="e is empty"),
        pytest.param({"e": "AA"}, id="e is 0"),
        pytest.param({"e": "AQ"}, id="e is 1"),
        pytest.param({"e": "Ag"}, id="e is even"),
        pytest.param({"e": {}}, id="e is an object"),
        pytest.param({"d": "AQAB"}, id="a private exponent that does not fit"),
        pytest.param({"d": 1}, id="a private exponent that is a number"),
        pytest.param({"d": "AQ", "p": "AQ"}, id="half of a private key"),
    ],
)
def test_it_passes_over_a_key_that_does_not_fit(entry: dict[str, object], change: dict[str, object]) -> None:
    assert rsa_pss.public_keys(jwks(entry | change)) == []


def test_it_passes_over_a_key_of_1024_bits(weak: Path) -> None:
    assert rsa_pss.public_keys(jwks(jwk(weak, "rsa-1"))) == []


def test_it_passes_over_a_private_key(bank: Path) -> None:
    private = load_pem_private_key(bank.read_bytes(), password=None)
    assert isinstance(private, RSAPrivateKey)
    numbers = private.private_numbers()
    parts = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    leaked = jwk(bank, "rsa-1") | {name: base64url(number) for name, number in parts.items()}
    assert rsa_pss.public_keys(jwks(leaked)) == []


@pytest.mark.parametrize("garbage", [None, 1, "RSA", [], ["kty", "RSA"], {}, {"kty": None}, {"kty": {}}, True])
def test_it_finds_the_good_key_after_an_entry_that_is_garbage(entry: dict[str, object], garbage: object) -> None:
    assert [key.id for key in rsa_pss.public_keys(jwks(garbage, entry))] == ["rsa-1"]


def test_it_finds_the_good_key_among_many_of_other_kinds(weak: Path, entry: dict[str, object]) -> None:
    others = [entry | {"use": "enc"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, jwk(weak, "weak"), {}]
    assert [key.id for key in rsa_pss.public_keys(jwks(*others, entry))] == ["rsa-1"]


def test_a_modulus_of_a_million_bits_is_no_more_than_a_mismatch(entry: dict[str, object], signature: bytes) -> None:
    monstrous = rsa_pss.public_keys(jwks(entry | {"n": base64url(2**1_000_000 - 1)}))
    with pytest.raises(Refusal, match=r"^signature_mismatch: "):
        rsa_pss.match(monstrous, TEXT, signature)


def test_a_document_may_hold_no_keys() -> None:
    assert rsa_pss.public_keys(b'{"keys":[]}') == []


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00", id="a NUL"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"\xff\xfe", id="a mark of UTF-16 alone"),
        pytest.param(b"<html>", id="a page"),
        pytest.param(b"{}", id="no keys member"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'["keys"]', id="a list that holds the word keys"),
        pytest.param(b'"keys"', id="a string"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"keys":null}', id="keys is null"),
        pytest.param(b'{"keys":1}', id="keys is a number"),
        pytest.param(b'{"keys":true}', id="keys is a boolean"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"keys":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", id="nested deep"),
        pytest.param(b'{"keys":[' + b"9" * 5_000 + b"]}", id="a number of 5,000 digits"),
    ],
)
def test_it_refuses_what_is_not_a_jwks(document: bytes) -> None:
    with pytest.raises(Refusal, match=r"^jwks_malformed: "):
        rsa_pss.public_keys(document)


@pytest.mark.parametrize("document", [b'{"keys":"abc"}', b'{"keys":""}', b'{"keys":{}}', b'{"keys":{"kty":"RSA"}}'])
def test_it_refuses_keys_that_are_not_a_list(document: bytes) -> None:
    with pytest.raises(Refusal, match=r"^jwks_malformed: "):
        rsa_pss.public_keys(document)


def only_keys_or_a_refusal(document: bytes | str) -> None:
    try:
        found = rsa_pss.public_keys(document)
    except Refusal as refusal:
        assert refusal.reason == "jwks_malformed"  # noqa: PT017
    else:
        assert all(isinstance(key, rsa_pss.PublicKey) for key in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NUMBER = st.one_of(st.binary(max_size=300).map(lambda raw: base64.urlsafe_b64encode(raw).decode()), JSON)
LIKE_A_KEY = st.fixed_dictionaries(
    {"kty": st.sampled_from(["RSA", "EC", "oct"]) | JSON, "n": NUMBER, "e": st.just("AQAB") | NUMBER},
    optional={
        "use": st.just("sig") | JSON,
        "kid": JSON,
        "alg": JSON,
        "key_ops": JSON,
        "x5c": JSON,
        "crv": JSON,
        "k": JSON,
        "oth": JSON,
        **dict.fromkeys(("d", "p", "q", "dp", "dq", "qi"), NUMBER),
    },
)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_it_meets_arbitrary_bytes_with_keys_or_a_refusal(document: bytes) -> None:
    only_keys_or_a_refusal(document)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_it_meets_arbitrary_text_with_keys_or_a_refusal(document: str) -> None:
    only_keys_or_a_refusal(document)


@settings(deadline=None)
@given(JSON)
def test_it_meets_arbitrary_json_with_keys_or_a_refusal(document: object) -> None:
    only_keys_or_a_refusal(json.dumps(document))


@settings(deadline=None)
@given(JSON)
def test_it_meets_arbitrary_keys_with_keys_or_a_refusal(entries: object) -> None:
    only_keys_or_a_refusal(json.dumps({"keys": entries}))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LIKE_A_KEY, max_size=3))
def test_it_meets_entries_like_keys_with_keys_or_a_refusal(entries: list[object]) -> None:
    only_keys_or_a_refusal(jwks(*entries))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(change=LIKE_A_KEY, names=st.sets(st.sampled_from(["kty", "n", "e", "use", "kid", "alg", "d", "oth"])))
def test_whatever_it_takes_for_a_key_can_be_tried(
    entry: dict[str, object], signature: bytes, change: dict[str, object], names: set[str]
) -> None:
    changed = entry | {name: value for name, value in change.items() if name in names}
    for key in rsa_pss.public_keys(jwks(changed)):
        try:
            assert rsa_pss.match([key], TEXT, signature) == key.id
        except Refusal as refusal:
            assert refusal.reason == "signature_mismatch"  # noqa: PT017
