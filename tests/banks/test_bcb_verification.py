"""BCB's proof of origin: what is signed as the bank signs it passes, and no other cut of the same text does."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import jwt
import pytest
from bank import DEPOSIT, SECRET, BankSigner, Signed, deposit
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from receiver.banks.bcb.callbacks import prove
from receiver.banks.callback import Callback, Profile, Stale
from receiver.banks.protocol import KeysNotKnown
from receiver.signing.errors import Refusal

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
OTHER_SECRET = base64.b64encode(b"another secret of thirty-two byt").decode()
JSON = json.dumps(DEPOSIT).encode()


def at(path: str | bytes, body: bytes, headers: dict[str, str]) -> Callback:
    """A callback as the web hands it on."""
    raw = path.encode() if isinstance(path, str) else path
    _, slash, channel = raw.removeprefix(b"/webhooks/").partition(b"/")
    lowered = {name.lower(): value.encode() for name, value in headers.items()}
    return Callback(b"POST", raw, channel.decode("latin-1") if slash else None, lowered, body, "127.0.0.1")


def of(signed: Signed, **headers: str) -> Callback:
    return at(signed.path, signed.body, {**signed.headers, **headers})


@pytest.fixture
def signer() -> BankSigner:
    return BankSigner(lambda: NOW)


@pytest.fixture
def profile() -> Profile:
    return Profile("bcb", {}, [("1", SECRET)])


def reason(callback: Callback, profile: Profile, now: datetime = NOW) -> str:
    """Why the callback is refused."""
    with pytest.raises(Refusal) as caught:
        prove(callback, profile, now)
    return caught.value.reason


# HMAC


def test_the_example_signed_with_the_decoded_secret_is_proven(signer: BankSigner, profile: Profile) -> None:
    signed = signer.sign(deposit(), nonce="n-1")
    proof = prove(of(signed), profile, NOW)
    assert (proof.strength, proof.key_id, proof.content) == ("signature", "secret:1", signed.body)
    assert (proof.nonce, proof.signed_at) == ("n-1", NOW)


def test_the_example_signed_with_the_secret_as_text_is_proven_where_the_source_says_so() -> None:
    signed = BankSigner(lambda: NOW, encoding="utf8").sign(deposit())
    assert prove(of(signed), Profile("bcb", {"encoding": "utf8"}, [("1", SECRET)]), NOW).key_id == "secret:1"


@pytest.mark.parametrize(("signs", "expects"), [("base64", "utf8"), ("utf8", "base64")])
def test_the_other_encoding_of_the_secret_is_refused(signs: str, expects: str) -> None:
    signed = BankSigner(lambda: NOW, encoding=signs).sign(deposit())
    assert reason(of(signed), Profile("bcb", {"encoding": expects}, [("1", SECRET)])) == "signature_mismatch"


@pytest.mark.parametrize(("secret", "key_id"), [(SECRET, "secret:7"), (OTHER_SECRET, "secret:6")])
def test_of_several_secrets_it_tells_which_one_matched(secret: str, key_id: str) -> None:
    profile = Profile("bcb", {}, [("7", SECRET), ("6", OTHER_SECRET)])
    assert prove(of(BankSigner(lambda: NOW, secret).sign(deposit())), profile, NOW).key_id == key_id


def test_a_secret_that_is_none_of_several_is_refused() -> None:
    signed = BankSigner(lambda: NOW, base64.b64encode(bytes(32)).decode()).sign(deposit())
    assert reason(of(signed), Profile("bcb", {}, [("7", SECRET), ("6", OTHER_SECRET)])) == "signature_mismatch"


def test_a_source_without_a_secret_proves_nothing(signer: BankSigner) -> None:
    assert reason(of(signer.sign(deposit())), Profile("bcb")) == "secret_not_set"


def test_a_secret_that_makes_no_key_proves_nothing(signer: BankSigner) -> None:
    assert reason(of(signer.sign(deposit())), Profile("bcb", {}, [("1", "no Base64!")])) == "secret_malformed"


def test_an_empty_secret_proves_nothing() -> None:
    signed = BankSigner(lambda: NOW, "").sign(deposit())
    assert reason(of(signed), Profile("bcb", {}, [("1", "")])) == "secret_malformed"


@pytest.mark.parametrize("changed", ["body", "path", "timestamp", "nonce", "signature", "method"])
def test_one_changed_byte_anywhere_is_refused(signer: BankSigner, profile: Profile, changed: str) -> None:
    callback = of(signer.sign(deposit(), "/webhooks/bcb/a"))
    headers = dict(callback.headers)
    if changed in ("timestamp", "nonce", "signature"):
        value = headers[f"bcb-{changed}"]
        position = {"timestamp": 9, "nonce": 0, "signature": 5}[changed]
        other = b"1" if value[position : position + 1] != b"1" else b"2"
        headers[f"bcb-{changed}"] = value[:position] + other + value[position + 1 :]
    spoilt = {
        "body": replace(callback, body=callback.body.replace(b"1000", b"9000")),
        "path": replace(callback, path=b"/webhooks/bcb/b", channel="b"),
        "method": replace(callback, method=b"PUT"),
    }.get(changed, replace(callback, headers=headers))
    assert reason(spoilt, profile) == "signature_mismatch"


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["signature", "timestamp", "nonce", "signature-version"]), st.binary()), st.data()
)
def test_arbitrary_headers_are_refused_and_nothing_else(given_headers: dict[str, bytes], data: st.DataObject) -> None:
    genuine = of(BankSigner(lambda: NOW).sign(deposit()))
    headers = {**genuine.headers, **{f"bcb-{name}": value for name, value in given_headers.items()}}
    body = data.draw(st.binary() | st.just(genuine.body))
    assume((headers, body) != (dict(genuine.headers), genuine.body))
    jwks = data.draw(st.sampled_from([None, "{}", "not JSON", '{"keys":[]}']))
    with pytest.raises((Refusal, KeysNotKnown)):
        prove(replace(genuine, headers=headers, body=body), Profile("bcb", {}, [("1", SECRET)], jwks), NOW)


# Freshness


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_callback_within_five_minutes_is_fresh(signer: BankSigner, profile: Profile, seconds: int) -> None:
    assert prove(of(signer.sign(deposit())), profile, NOW + timedelta(seconds=seconds)).signed_at == NOW


@pytest.mark.parametrize("seconds", [-86400, -301, 301, 86400 * 365])
def test_a_callback_beyond_five_minutes_is_stale(signer: BankSigner, profile: Profile, seconds: int) -> None:
    assert reason(of(signer.sign(deposit())), profile, NOW + timedelta(seconds=seconds)) == "timestamp_stale"


def test_only_a_right_signature_makes_a_stale_callback_a_proven_one(signer: BankSigner, profile: Profile) -> None:
    later = NOW + timedelta(hours=1)
    genuine = of(signer.sign(deposit()))
    for callback, proven in ((genuine, True), (replace(genuine, body=b"{}"), False)):
        with pytest.raises(Refusal) as caught:
            prove(callback, profile, later)
        assert caught.value.proven is proven


# RSA


@cache
def private_key(_name: str) -> rsa.RSAPrivateKey:
    """A key by this name, made once."""
    return rsa.generate_private_key(65537, 2048)


def jwks(*names: str) -> str:
    """The bank's document with the public keys of these names."""
    keys = [jwt.algorithms.RSAAlgorithm.to_jwk(private_key(name).public_key(), as_dict=True) for name in names]
    listed = [{**key, "kid": name, "use": "sig", "alg": "PS256"} for key, name in zip(keys, names, strict=True)]
    return json.dumps({"keys": listed})


def rsa_signed(name: str, body: bytes = JSON, path: str = "/webhooks/bcb", version: str = "rsa-v1") -> Callback:
    """A callback signed as the bank does with RSA."""
    timestamp, nonce = str(int(NOW.timestamp())), "n-1"
    text = f"{timestamp}{nonce}POST{path}".encode() + body
    pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
    signature = base64.b64encode(private_key(name).sign(text, pss, SHA256())).decode()
    headers = {
        "Bcb-Signature": signature,
        "Bcb-Timestamp": timestamp,
        "Bcb-Nonce": nonce,
        "Bcb-Signature-Version": version,
    }
    return at(path, body, headers)


def rsa_profile(*names: str) -> Profile:
    return Profile("bcb", {}, [("1", SECRET)], jwks(*names))


@pytest.mark.parametrize("version", ["rsa-v1", "RSA-V2", "rsa"])
def test_an_rsa_signature_is_proven_by_the_banks_public_key(version: str) -> None:
    proof = prove(rsa_signed("rsa-1", version=version), rsa_profile("rsa-1"), NOW)
    assert (proof.strength, proof.key_id) == ("signature", "rsa:rsa-1")


def test_of_several_public_keys_it_tells_which_one_matched() -> None:
    assert prove(rsa_signed("rsa-2"), rsa_profile("rsa-1", "rsa-2"), NOW).key_id == "rsa:rsa-2"


def test_an_rsa_signature_beyond_five_minutes_is_stale() -> None:
    assert reason(rsa_signed("rsa-1"), rsa_profile("rsa-1"), NOW + timedelta(seconds=301)) == "timestamp_stale"


@pytest.mark.parametrize("document", [None, "", "{}", '{"keys":[]}', '{"keys":7}', "[" * 100_000])
def test_without_a_public_key_an_rsa_signature_cannot_be_told(document: str | None) -> None:
    with pytest.raises(KeysNotKnown):
        prove(rsa_signed("rsa-1"), Profile("bcb", {}, [("1", SECRET)], document), NOW)


def test_an_rsa_signature_by_a_key_not_known_cannot_be_told() -> None:
    with pytest.raises(KeysNotKnown):
        prove(rsa_signed("rsa-2"), rsa_profile("rsa-1"), NOW)


def test_an_hmac_signature_does_not_pass_for_an_rsa_one(signer: BankSigner) -> None:
    with pytest.raises(KeysNotKnown):
        prove(of(signer.sign(deposit()), **{"Bcb-Signature-Version": "rsa-v1"}), rsa_profile("rsa-1"), NOW)


def test_a_code_made_with_the_public_key_as_secret_is_refused() -> None:
    document = jwks("rsa-1")
    text = f"{int(NOW.timestamp())}n-1POST/webhooks/bcb".encode() + JSON
    code = base64.b64encode(hmac.digest(document.encode(), text, hashlib.sha256)).decode()
    headers = {"Bcb-Signature": code, "Bcb-Timestamp": str(int(NOW.timestamp())), "Bcb-Nonce": "n-1"}
    profile = Profile("bcb", {"encoding": "utf8"}, [("1", SECRET)], document)
    assert reason(at("/webhooks/bcb", JSON, headers), profile) == "signature_mismatch"


def test_an_rsa_signature_does_not_pass_for_an_hmac_one() -> None:
    callback = rsa_signed("rsa-1")
    headers = {name: value for name, value in callback.headers.items() if name != "bcb-signature-version"}
    assert reason(replace(callback, headers=headers), rsa_profile("rsa-1")) == "signature_mismatch"


# Other cuts of a captured callback


class Cut(NamedTuple):
    """One way to read a signed text."""

    timestamp: bytes
    nonce: bytes
    path: bytes
    body: bytes

    @property
    def text(self) -> bytes:
        return self.timestamp + self.nonce + b"POST" + self.path + self.body


House = Sequence[Profile]
"""All sources of a receiver; they share one secret here, which is the worst case."""


def house(*names: str, **options: Any) -> House:
    """Sources as the inbox shows them to the bank's package; `options` are those of the first."""
    return [
        Profile(
            name,
            options if name == names[0] else {},
            [("1", SECRET)],
            longer_names=[other for other in names if other.startswith(name) and other != name],
        )
        for name in names
    ]


def routed(sources: House, path: bytes) -> Profile | None:
    """The source that a request for this path reaches."""
    name = unquote(path.removeprefix(b"/webhooks/").partition(b"/")[0].decode("latin-1"))
    return next((source for source in sources if source.name == name), None)


def cuts(text: bytes) -> Iterator[Cut]:
    """Every way to cut a text such that its path may reach a source."""
    place = -1
    while (place := text.find(b"POST/webhooks/", place + 1)) >= 0:
        start = place + len(b"POST")
        for end_of_timestamp in range(place + 1):
            for end in range(start, len(text) + 1):
                yield Cut(text[:end_of_timestamp], text[end_of_timestamp:place], text[start:end], text[end:])


def accepted_cuts(
    sources: House, genuine: Cut, *, every_timestamp: bool = True, now: datetime | None = None
) -> list[Cut]:
    """The cuts of a signed text that are proven somewhere, or held as late, each tried with its own signature."""
    key = base64.b64decode(SECRET)
    signature = base64.b64encode(hmac.digest(key, genuine.text, hashlib.sha256))
    found = []
    for cut in cuts(genuine.text):
        profile = routed(sources, cut.path)
        if profile is None or not (every_timestamp or len(cut.timestamp) == 10):
            continue
        headers = {"bcb-signature": signature, "bcb-timestamp": cut.timestamp, "bcb-nonce": cut.nonce}
        callback = replace(at(cut.path, cut.body, {}), headers=headers)
        try:
            prove(callback, profile, now or NOW)
        except Refusal as refusal:
            if not (isinstance(refusal, Stale) and refusal.has_one_cut):
                continue
        found.append(cut)
    return found


TIMESTAMP = str(int(NOW.timestamp())).encode()
NONCE = b"0f8fad5b-d9cb-469f-a165-70867728950e"
FORGED = b'POST/webhooks/bcb{"topic":"Deposits"}'
SHORT = b'{"topic":"Deposits","transactionId":"1"}'
HOUSES = {
    "no channels named": house("bcb"),
    "channels named": house("bcb", channels=["dep", "deposits", "deposits/usd"]),
    "sources whose names begin alike": house("bcb", "bcb-uat", "bcb-uat-2", "b", "bc"),
    "both": house("bcb", "bcb-uat", "bc", channels=["dep", "deposits", "deposits/usd"]),
}
PATHS = [
    b"/webhooks/bcb",
    b"/webhooks/bcb/dep",
    b"/webhooks/bcb/deposits",
    b"/webhooks/bcb/deposits/usd",
]
UNNAMED_PATHS = [b"/webhooks/bcb/", b"/webhooks/bcb/a/b", b"/webhooks/bcb/POST/webhooks/bcb", b"/webhooks/%62cb"]


@pytest.mark.parametrize("sources", HOUSES.values(), ids=HOUSES)
@pytest.mark.parametrize("path", PATHS, ids=bytes.decode)
def test_a_captured_notification_passes_in_its_own_cut_alone(sources: House, path: bytes) -> None:
    genuine = Cut(TIMESTAMP, NONCE, path, JSON)
    assert accepted_cuts(sources, genuine) == [genuine]


@pytest.mark.parametrize("path", UNNAMED_PATHS, ids=bytes.decode)
def test_a_captured_notification_to_an_unnamed_channel_passes_in_its_own_cut_alone(path: bytes) -> None:
    genuine = Cut(TIMESTAMP, NONCE, path, SHORT)
    assert accepted_cuts(HOUSES["sources whose names begin alike"], genuine) == [genuine]


@pytest.mark.parametrize(
    "path",
    [b"/webhooks/bcb-uat", b"/webhooks/bcb-uat/deposits", b"/webhooks/bcb-uat-2", b"/webhooks/b/cb", b"/webhooks/bc"],
    ids=bytes.decode,
)
@pytest.mark.parametrize("sources", [HOUSES["sources whose names begin alike"]], ids=["names begin alike"])
def test_a_captured_notification_to_another_source_passes_in_its_own_cut_alone(sources: House, path: bytes) -> None:
    genuine = Cut(TIMESTAMP, NONCE, path, SHORT)
    assert accepted_cuts(sources, genuine) == [genuine]


@pytest.mark.parametrize("path", [b"/webhooks/bcb-u%61t", b"/webhooks/%62cb-uat", b"/webhooks/bcb%2Duat/deposits"])
def test_a_source_named_by_percent_encoding_does_not_pass_at_one_with_a_shorter_name(path: bytes) -> None:
    genuine = Cut(TIMESTAMP, NONCE, path, SHORT)
    assert accepted_cuts(HOUSES["sources whose names begin alike"], genuine) == [genuine]


@pytest.mark.parametrize("nonce", [b"n", b"7", b"POST", b"nPOS", b"/webhooks/bcb", b"1733400000", b"n" * 200])
@pytest.mark.parametrize("path", [b"/webhooks/bcb", b"/webhooks/bcb/deposits"], ids=bytes.decode)
def test_any_nonce_leaves_one_cut_alone(nonce: bytes, path: bytes) -> None:
    genuine = Cut(TIMESTAMP, nonce, path, SHORT)
    assert accepted_cuts(HOUSES["both"], genuine) == [genuine]


@pytest.mark.parametrize("words", [FORGED, b"POST/", TIMESTAMP + b"nPOST/webhooks/bcb", FORGED * 2])
@pytest.mark.parametrize("path", [b"/webhooks/bcb", b"/webhooks/bcb/deposits"], ids=bytes.decode)
def test_what_a_payer_writes_leaves_one_cut_alone(words: bytes, path: bytes) -> None:
    genuine = Cut(TIMESTAMP, NONCE, path, b'{"transactionDetails":"' + words + b'"}')
    assert accepted_cuts(HOUSES["both"], genuine) == [genuine]


@pytest.mark.parametrize("body", [b"", b"1\n", b"null ", b"not JSON", b"status=[]", b"true", b"POST", b"-1.5", FORGED])
def test_a_body_that_is_no_json_object_at_the_sources_own_path_leaves_one_cut_alone(body: bytes) -> None:
    genuine = Cut(TIMESTAMP, NONCE, b"/webhooks/bcb", body)
    assert accepted_cuts(HOUSES["both"], genuine) == [genuine]


@pytest.mark.parametrize("start", [b"<", b'"', b" ", b"\n", b"[", b"\\", b"\x00", b"\xff", "\ufeff".encode()])
@pytest.mark.parametrize("path", [*PATHS, *UNNAMED_PATHS], ids=bytes.decode)
def test_a_body_that_cannot_belong_to_a_path_leaves_one_cut_alone(path: bytes, start: bytes) -> None:
    genuine = Cut(TIMESTAMP, NONCE, path, start + b"text" + FORGED)
    assert accepted_cuts(HOUSES["no channels named"], genuine) == [genuine]


@pytest.mark.parametrize("body", [b"", b"1\n", b"osits{}", b"usd{}", b"-1", b"/usd{}", FORGED])
@pytest.mark.parametrize("channels", [[], ["dep"]], ids=["not named", "named"])
def test_a_body_that_begins_like_a_path_is_refused_at_a_channel(body: bytes, channels: list[str]) -> None:
    genuine = Cut(TIMESTAMP, NONCE, b"/webhooks/bcb/dep", body)
    assert genuine not in accepted_cuts(house("bcb", channels=channels), genuine)


@pytest.mark.parametrize("channel", [b"deposits", b"dep/osits", b"depPOST/webhooks/bcb", b"dep%6Fsits"])
def test_a_notification_to_a_channel_that_is_not_named_does_not_pass_at_one_that_is(channel: bytes) -> None:
    genuine = Cut(TIMESTAMP, NONCE, b"/webhooks/bcb/" + channel, SHORT)
    assert accepted_cuts(house("bcb", channels=["dep"]), genuine) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(b"/webhooks/bcb", b'/deposits{"topic":"Deposits"}', id="a channel moved out of the body"),
        pytest.param(b"/webhooks/bcb", b"%2Fdeposits{}", id="an encoded channel moved out of the body"),
        pytest.param(b"/webhooks/bcb", b"/dep1\n", id="a channel moved out of the body, no JSON object left"),
        pytest.param(b"/webhooks/bcb/jobs", b"-uk{}", id="a channel made longer"),
        pytest.param(b"/webhooks/bcb/jobs", b"1\n", id="a channel made longer by a number"),
        pytest.param(b"/webhooks/bcb/jobs", b"/deposits{}", id="a channel made longer by another"),
    ],
)
def test_no_cut_reaches_a_channel_that_a_source_which_names_its_channels_does_not_name(
    path: bytes, body: bytes
) -> None:
    genuine = Cut(TIMESTAMP, NONCE, path, body)
    others = [cut for cut in accepted_cuts(house("bcb", channels=["jobs"]), genuine) if cut != genuine]
    assert others == []


@pytest.mark.parametrize("channels", [[], ["dep", "deposits"]], ids=["not named", "named"])
@pytest.mark.parametrize(
    ("path", "body", "longer"),
    [
        (b"/webhooks/bcb", b'/deposits{"topic":"Deposits"}', b"/webhooks/bcb/deposits"),
        (b"/webhooks/bcb/dep", b"osits{}", b"/webhooks/bcb/deposits"),
    ],
)
def test_a_text_that_is_also_a_notification_to_a_channel_is_taken_for_that_alone(
    path: bytes, body: bytes, longer: bytes, channels: list[str]
) -> None:
    # Byte for byte the same text: one of the two must be refused, and it is the one whose body is no JSON object.
    ambiguous = Cut(TIMESTAMP, NONCE, path, body)
    assert [cut.path for cut in accepted_cuts(house("bcb", channels=channels), ambiguous)] == [longer]


MONTHS = pytest.mark.parametrize("now", [NOW - timedelta(days=30), NOW + timedelta(days=30)], ids=["ahead", "old"])
"""No window of time narrows the timestamps then: all cuts but the genuine one must be refused for what they are."""


@MONTHS
@pytest.mark.parametrize("sources", HOUSES.values(), ids=HOUSES)
@pytest.mark.parametrize("path", PATHS, ids=bytes.decode)
def test_a_late_notification_is_held_in_its_own_cut_alone(sources: House, path: bytes, now: datetime) -> None:
    genuine = Cut(TIMESTAMP, NONCE, path, SHORT)
    assert accepted_cuts(sources, genuine, now=now) == [genuine]


@MONTHS
@pytest.mark.parametrize("nonce", [b"n", b"7", b"POST", b"nPOS", b"1733400000", b"1" * 40, b"n" * 200])
@pytest.mark.parametrize("words", [b"", FORGED, TIMESTAMP + b"nPOST/webhooks/bcb"])
def test_any_late_nonce_and_what_a_payer_writes_leave_one_cut_alone(nonce: bytes, words: bytes, now: datetime) -> None:
    genuine = Cut(TIMESTAMP, nonce, b"/webhooks/bcb", b'{"transactionDetails":"' + words + b'"}')
    assert accepted_cuts(HOUSES["both"], genuine, now=now) == [genuine]


@MONTHS
@pytest.mark.parametrize("body", [b"", b"1\n", b"not JSON", b"true", b"POST", FORGED, b"/deposits{}", b"deposits{}"])
def test_a_late_body_that_could_be_the_rest_of_a_path_is_held_in_no_cut(body: bytes, now: datetime) -> None:
    genuine = Cut(TIMESTAMP, NONCE, b"/webhooks/bcb", body)
    held = accepted_cuts(HOUSES["no channels named"], genuine, now=now)
    assert [cut for cut in held if cut.body == body or not cut.body.startswith(b"{")] == []


NAMES = st.sampled_from(["b", "bc", "bcb", "bcb-uat", "bcb-uat-2", "bcb1", "p", "post"])
CHANNEL_NAMES = st.sampled_from(["d", "dep", "deposits", "deposits/usd", "a//b", "POST/webhooks/bcb", "1"])
FRAGMENTS = st.sampled_from(
    [b"POST", b"/", b"%", b"%2F", b"%2D", b"{", b'"', b" ", b"\n", b"1", b"-uat", b"-u%61t", b"cb", b"osits", FORGED]
)
BODIES = st.lists(FRAGMENTS | st.binary(max_size=4), max_size=6).map(b"".join)


@st.composite
def situations(draw: st.DrawFn) -> tuple[House, Cut]:
    """A receiver's sources and a callback that the bank signed for one of them."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    channels = draw(st.lists(CHANNEL_NAMES, max_size=4, unique=True))
    name = draw(st.sampled_from(names))
    encoded = "".join(f"%{ord(letter):02X}" if draw(st.booleans()) else letter for letter in name)
    written = draw(st.sampled_from([name, encoded]))
    channel = draw(st.just("") | CHANNEL_NAMES.map(lambda found: f"/{found}") | st.just("/"))
    path = f"/webhooks/{written}{channel}".encode()
    nonce = draw(st.sampled_from([b"n", b"nPOS", b"POST", b"1/webhooks/bcb"]))
    return house(*names, channels=channels), Cut(TIMESTAMP, nonce, path, draw(BODIES))


@settings(deadline=None)
@given(situations())
def test_no_text_passes_in_two_cuts(situation: tuple[House, Cut]) -> None:
    sources, genuine = situation
    assert len(accepted_cuts(sources, genuine, every_timestamp=False)) <= 1


@settings(deadline=None)
@given(situations())
def test_no_late_text_is_held_in_two_cuts(situation: tuple[House, Cut]) -> None:
    sources, genuine = situation
    held = accepted_cuts(sources, genuine, every_timestamp=False, now=NOW + timedelta(days=30))
    assert len(held) <= 1
    assert all(cut.timestamp == genuine.timestamp and cut.nonce == genuine.nonce for cut in held)


@settings(deadline=None)
@given(situations())
def test_any_json_object_passes_in_its_own_cut_alone(situation: tuple[House, Cut]) -> None:
    sources, drawn = situation
    genuine = drawn._replace(body=b"{" + drawn.body)
    profile = routed(sources, genuine.path)
    assert profile is not None
    channel = at(genuine.path, b"", {}).channel
    named = profile.options.get("channels")
    expected = [genuine] if channel is None or not named or channel in named else []
    assert accepted_cuts(sources, genuine, every_timestamp=False) == expected
