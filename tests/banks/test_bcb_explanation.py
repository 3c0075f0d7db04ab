"""Finding out how a callback of BCB was signed."""

import json
from datetime import UTC, datetime

from bank import SECRET, BankSigner, deposit

from receiver.banks import bcb
from receiver.banks.abilities import Explains, Explanation
from receiver.banks.callback import Callback, Profile
from receiver.signing import rsa_pss
from receiver.signing.hmac_sha256 import to_base64
from receiver.simulator.bcb.callbacks import KeyRing

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
PATH = b"/webhooks/bcb"


def callback(**headers: bytes) -> Callback:
    signed = BankSigner(lambda: NOW).sign(deposit())
    given = {name.lower(): value.encode() for name, value in signed.headers.items()}
    more = {f"bcb-{name.replace('_', '-')}": value for name, value in headers.items()}
    return Callback(b"POST", PATH, None, {**given, **more}, signed.body, "192.0.2.1")


def explain(given: Callback, profile: Profile, *paths: bytes) -> Explanation:
    assert isinstance(bcb.BANK, Explains)
    return bcb.BANK.explain(given, profile, paths or (PATH,), NOW)


def test_every_secret_is_tried_and_only_what_fits_is_told() -> None:
    profile = Profile("bcb", secrets=[("3", "A" * 43 + "="), ("2", SECRET), ("1", "no Base64!")])
    found = explain(callback(), profile)
    assert [(match.key_id, match.encoding, match.path) for match in found.matches] == [
        ("secret:2", "base64", "/webhooks/bcb")
    ]
    assert (found.clock_seconds, list(found.remarks)) == (0, [])


def test_a_secret_that_is_not_set_is_said() -> None:
    assert explain(callback(), Profile("bcb")).remarks == ["the source has no signing secret to try"]


def test_a_callback_signed_with_a_public_key_tells_which_over_which_path() -> None:
    ring = KeyRing()
    given = callback(signature_version=b"rsa-v1")
    headers = given.headers
    text = headers["bcb-timestamp"] + headers["bcb-nonce"] + b"POST/bank/webhooks/bcb" + given.body
    signature = to_base64(rsa_pss.sign(ring.current().private_key, text))
    signed = callback(signature_version=b"rsa-v1", signature=signature, nonce=headers["bcb-nonce"])
    profile = Profile("bcb", jwks=json.dumps(ring.jwks()))
    (match,) = explain(signed, profile, PATH, b"/bank/webhooks/bcb").matches
    assert (match.key_id, match.encoding, match.path) == (f"rsa:{ring.current().kid}", None, "/bank/webhooks/bcb")


def test_a_public_key_that_is_not_known_is_said() -> None:
    found = explain(callback(signature_version=b"rsa-v1"), Profile("bcb", secrets=[("1", SECRET)]))
    assert found.matches == ()
    assert "no public key of the bank is known" in found.remarks[0]


def test_a_time_in_milliseconds_is_malformed_and_tells_no_clock() -> None:
    found = explain(callback(timestamp=b"1772625600000"), Profile("bcb", secrets=[("1", SECRET)]))
    assert found.clock_seconds is None
    assert "is not ten digits" in found.remarks[0]


def test_a_clock_ahead_is_told_as_such() -> None:
    ahead = str(int(NOW.timestamp()) + 301).encode()
    found = explain(callback(timestamp=ahead), Profile("bcb", secrets=[("1", SECRET)]))
    assert found.clock_seconds == -301
    assert found.remarks[0].startswith("signed 301 s after it came")


def test_no_key_and_no_signature_stands_in_an_explanation() -> None:
    given = callback()
    told = repr(explain(given, Profile("bcb", secrets=[("1", SECRET)])))
    assert SECRET not in told
    assert given.headers["bcb-signature"].decode() not in told
