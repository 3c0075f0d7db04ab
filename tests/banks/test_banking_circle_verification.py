"""Proving Banking Circle's callbacks: only who has the key can encrypt, and not one bit may differ."""

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from encrypting_bank import KEY, EncryptingBank, batch, notification

from receiver import banks
from receiver.banks.callback import Callback, Profile, Proof
from receiver.banks.protocol import OptionsWrong
from receiver.signing.errors import Refusal

BANK = banks.named("banking_circle")
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
TEXT = '[{"eventId":"1","name":"Søren 株式会社 💶"}]'


def profile(*secrets: str, **options: Any) -> Profile:
    given = secrets or (KEY,)
    versions = [(str(len(given) - number), secret) for number, secret in enumerate(given)]
    return Profile("bc", BANK.check_options(options), versions)


def callback(text: str = TEXT, bank: EncryptingBank | None = None, *, mark: bool = False, **headers: str) -> Callback:
    signed = (bank or EncryptingBank()).sign(text, mark=mark)
    sent = {name.lower(): value.encode() for name, value in {**signed.headers, **headers}.items()}
    return Callback(b"POST", b"/webhooks/bc", None, sent, signed.body, "192.0.2.7")


def prove(made: Callback, known: Profile | None = None) -> Proof:
    return BANK.prove(made, known or profile(), NOW)


def with_header(made: Callback, name: str, value: bytes) -> Callback:
    return replace(made, headers={**made.headers, name: value})


def refused(made: Callback, known: Profile | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        prove(made, known)
    return caught.value


def flipped_bits(value: bytes) -> list[bytes]:
    return [
        value[:place] + bytes([value[place] ^ (1 << bit)]) + value[place + 1 :]
        for place in range(len(value))
        for bit in range(8)
    ]


def test_what_was_encrypted_with_the_key_is_proven_and_decrypted() -> None:
    proof = prove(callback())
    assert (proof.strength, proof.key_id, proof.content.decode()) == ("encryption", "secret:1", TEXT)


@pytest.mark.parametrize("length", [0, 1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 100_000])
def test_a_text_of_any_length_comes_out_whole(length: int) -> None:
    # A pair of surrogates lies across the border of two pieces here.
    text = "x" * length + "💶" * 3
    assert prove(callback(text)).content.decode() == text


@pytest.mark.parametrize("name", ["nonce", "authenticationtag", "checksum"])
def test_any_flipped_bit_of_a_header_is_refused(name: str) -> None:
    made = callback()
    whole = base64.b64decode(made.headers[name])
    expected = "checksum_mismatch" if name == "checksum" else "tag_mismatch"
    reasons = {refused(with_header(made, name, base64.b64encode(bits))).reason for bits in flipped_bits(whole)}
    assert reasons == {expected}


def test_any_flipped_bit_of_the_body_is_refused() -> None:
    made = callback()
    reasons = {refused(replace(made, body=bits)).reason for bits in flipped_bits(made.body)}
    assert reasons == {"tag_mismatch"}


def test_any_flipped_bit_of_the_key_is_refused() -> None:
    made = callback()
    # As Base64, so that the changed key need not be text.
    keys = [base64.b64encode(bits).decode() for bits in flipped_bits(KEY.encode())]
    assert prove(made, profile(base64.b64encode(KEY.encode()).decode(), encoding="base64")).key_id == "secret:1"
    reasons = {refused(made, profile(key, encoding="base64")).reason for key in keys}
    assert reasons == {"tag_mismatch"}


def test_a_wrong_checksum_is_known_to_come_from_a_holder_of_the_key() -> None:
    made = with_header(callback(), "checksum", base64.b64encode(hashlib.sha256(b"other").digest()))
    assert refused(made).proven


@pytest.mark.parametrize("name", ["nonce", "authenticationtag", "checksum"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"", "header_missing"), (b"!!!!", "malformed"), (base64.b64encode(bytes(7)), "malformed"), (b"AAAA\xff", "mal")],
)
def test_a_header_that_is_missing_or_of_another_form_is_refused(name: str, value: bytes, reason: str) -> None:
    assert reason in refused(with_header(callback(), name, value)).reason


def test_the_byte_order_mark_is_taken_off_whether_or_not_the_checksum_counts_it() -> None:
    assert prove(callback(mark=True)).content.decode() == TEXT
    counted = base64.b64encode(hashlib.sha256(("\ufeff" + TEXT).encode()).digest())
    assert prove(with_header(callback(mark=True), "checksum", counted)).content.decode() == TEXT


def test_what_is_no_utf_16_is_replaced_as_the_bank_does_it_and_judged_by_the_checksum() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = AESGCM(KEY.encode()).encrypt(b"n" * 12, b"a\x00\x00\xd8b\x00c", None)
    checksum = hashlib.sha256("a\ufffdb\ufffd".encode()).digest()
    headers = {
        "nonce": base64.b64encode(b"n" * 12),
        "authenticationtag": base64.b64encode(sealed[-16:]),
        "checksum": base64.b64encode(checksum),
    }
    made = Callback(b"POST", b"/webhooks/bc", None, headers, sealed[:-16], "192.0.2.7")
    assert prove(made).content.decode() == "a\ufffdb\ufffd"


def test_the_old_key_proves_while_it_is_valid_and_is_named() -> None:
    assert prove(callback(), profile("n" * 32, KEY)).key_id == "secret:1"


BINARY = bytes(range(32))
IN_BASE64 = base64.b64encode(BINARY).decode()
NO_BASE64 = "no-base64-but-32-characters-long"


@pytest.mark.parametrize(
    ("encoding", "newest", "of_newest", "older", "of_older"),
    [("utf8", KEY, KEY.encode(), IN_BASE64, BINARY), ("base64", IN_BASE64, BINARY, NO_BASE64, NO_BASE64.encode())],
)
def test_a_key_from_before_the_encoding_was_changed_stops_no_other_and_proves_on(
    encoding: str, newest: str, of_newest: bytes, older: str, of_older: bytes
) -> None:
    known = profile(newest, older, encoding=encoding)
    assert prove(callback(bank=EncryptingBank(of_newest)), known).key_id == "secret:2"
    assert prove(callback(bank=EncryptingBank(of_older)), known).key_id == "secret:1"
    assert refused(callback(bank=EncryptingBank(b"x" * 32)), known).reason == "tag_mismatch"


def test_where_no_text_makes_a_key_that_is_said() -> None:
    assert refused(callback(), profile("too short", "this one too")).reason == "secret_malformed"
    assert prove(callback(), profile("too short", KEY)).key_id == "secret:1"


def test_without_a_key_it_is_refused() -> None:
    assert refused(callback(), replace(profile(), secrets=[])).reason == "secret_not_set"


def test_the_same_nonce_under_another_key_is_another_nonce() -> None:
    known = profile("n" * 32, KEY)
    nonces = {
        prove(
            Callback(
                b"POST",
                b"/webhooks/bc",
                None,
                {name.lower(): value.encode() for name, value in signed.headers.items()},
                signed.body,
                "192.0.2.7",
            ),
            known,
        ).nonce
        for key in (b"n" * 32, KEY.encode())
        for signed in [EncryptingBank(key).sign(TEXT, nonce=b"0" * 12)]
    }
    assert len(nonces) == 2


def test_only_the_addresses_on_the_list_are_taken() -> None:
    assert prove(callback(), profile(allowed_addresses="198.51.100.0/24, 192.0.2.7")).key_id == "secret:1"
    assert refused(callback(), profile(allowed_addresses="198.51.100.0/24")).reason == "address_not_allowed"


def test_headers_may_have_other_names() -> None:
    made = with_header(callback(), "x-nonce", b"x")
    renamed = {"x-nonce": made.headers["nonce"], "x-tag": made.headers["authenticationtag"]}
    moved = replace(made, headers={**renamed, "x-sum": made.headers["checksum"]})
    known = profile(nonce_header="X-Nonce", tag_header="X-Tag", checksum_header="X-Sum")
    assert prove(moved, known).key_id == "secret:1"
    assert refused(made, known).reason in ("nonce_malformed", "header_missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoding", "hex"),
        ("allowed_addresses", ""),
        ("allowed_addresses", "192.0.2.1/24"),
        ("allowed_addresses", "192.0.2.0/24,nowhere"),
        ("authorization_url", "ftp://x"),
        ("nonce_header", "a b"),
        ("nonce_header", ""),
        ("requests_per_window", "0"),
        ("requests_per_window", "-1"),
        ("other", "1"),
    ],
)
def test_a_wrong_option_is_refused(name: str, value: str) -> None:
    with pytest.raises(OptionsWrong, match=name):
        BANK.check_options({name: value})


@pytest.mark.parametrize(
    "given",
    [
        {"nonce_header": "checksum"},
        {"tag_header": "Nonce"},
        {"nonce_header": "x-a", "tag_header": "x-a"},
    ],
)
def test_two_of_the_three_headers_can_not_be_one(given: dict[str, str]) -> None:
    with pytest.raises(OptionsWrong, match="three headers, each with a name of its own"):
        BANK.check_options(given)
    assert BANK.check_options({"nonce_header": "checksum", "checksum_header": "nonce"})


def test_stored_options_pass_the_check_again() -> None:
    given = {"allowed_addresses": "192.0.2.0/24,2001:db8::1", "nonce_header": "X-Nonce", "requests_per_window": "60"}
    stored = BANK.check_options(given)
    assert BANK.check_options(stored) == stored


def test_a_key_that_makes_none_is_refused_when_it_is_set() -> None:
    BANK.check_secret(KEY, {})
    with pytest.raises(Refusal, match="secret_malformed"):
        BANK.check_secret("too short", {})


def test_every_notification_of_the_batch_is_in_what_is_proven() -> None:
    text = batch([notification() for _ in range(3)])
    assert len(BANK.read(prove(callback(text)))) == 3
