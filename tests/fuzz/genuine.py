"""Genuine callbacks of every bank by every kind of proof, to be altered: nothing is looked up, nothing is stored."""

import base64
import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

import jwt
from bank import SECRET, BankSigner, Signed
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from encrypting_bank import KEY, EncryptingBank
from genuine_pairs import MESSAGE_ID, SHAPES, TIMESTAMP, Told, make_pair
from others import CONNECTPAY_ADDRESS, TOKEN, WHSEC, webhook

from receiver import banks
from receiver.banks.callback import Callback, Profile
from receiver.inbox.source_cache import KnownSource
from receiver.store.public_keys import StoredKeys
from receiver.store.sources import SourceRecord

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)

HOLDER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

Proves = Callable[[Callback], object]


@dataclass(frozen=True)
class Kind:
    """A source of a bank with one kind of proof, and what that proof covers of a callback."""

    bank: str
    sign: Callable[[Told], Signed]
    covers: Proves
    secret: str | None
    options: dict[str, Any]
    jwks: bool = False

    @property
    def known(self) -> KnownSource:
        return _known(self)

    def genuine(self, told: Told) -> Callback:
        signed = self.sign(told)
        headers = {name.lower(): value.encode() for name, value in signed.headers.items()}
        return at(signed.path, Callback(b"POST", b"", None, headers, signed.body, CONNECTPAY_ADDRESS))


def at(path: str | bytes, callback: Callback) -> Callback:
    """The callback as it comes to a path."""
    raw = path if isinstance(path, bytes) else path.encode()
    _, slash, channel = raw.removeprefix(b"/webhooks/").partition(b"/")
    named = channel.decode("latin-1") if slash else None
    return Callback(callback.method, raw, named, callback.headers, callback.body, callback.peer)


def some_told(random: Random, bank: str) -> Told:
    """What a bank may tell."""
    return make_pair(random, bank).first


def _known(kind: Kind) -> KnownSource:
    bank = banks.named(kind.bank)
    options = bank.check_options(kind.options)
    source = SourceRecord(1, kind.bank, kind.bank, "sandbox", None, options, True, False, None, NOW, None)
    keys = StoredKeys(_jwks(), NOW, NOW) if kind.jwks else StoredKeys()
    secrets = [("1", kind.secret)] if kind.secret else []
    profile = Profile(kind.bank, options, secrets, keys.jwks)
    return KnownSource(source, bank, bank.carried(options), profile, keys, NOW, 0.0)


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _jwks() -> str:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(_rsa_key().public_key(), as_dict=True)
    return json.dumps({"keys": [{**public, "kid": "rsa-1", "use": "sig", "alg": "PS256"}]})


def _by_rsa(told: Told) -> Signed:
    path, body, timestamp, nonce = "/webhooks/bcb", told.text.encode(), str(int(NOW.timestamp())), "n-1"
    pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
    made = _rsa_key().sign(f"{timestamp}{nonce}POST{path}".encode() + body, pss, SHA256())
    signature = base64.b64encode(made).decode()
    headers = {"Bcb-Signature": signature, "Bcb-Timestamp": timestamp, "Bcb-Nonce": nonce}
    return Signed(path, body, headers | {"Bcb-Signature-Version": "rsa-v1"})


def _by_ed25519(told: Told) -> Signed:
    signed = _message(told)
    text = f"{signed.headers['webhook-id']}.{signed.headers['webhook-timestamp']}.".encode() + signed.body
    made = base64.b64encode(HOLDER.sign(text)).decode()
    return Signed(signed.path, signed.body, {**signed.headers, "webhook-signature": f"v1a,{made}"})


def _message(told: Told) -> Signed:
    made = webhook(told.text.encode(), at=NOW.timestamp(), message_id=told.headers[MESSAGE_ID])
    return Signed("/webhooks/standard_webhooks", *made)


def _connectpay(told: Told) -> Signed:
    headers = {"x-connectpay-token": TOKEN, TIMESTAMP: told.headers[TIMESTAMP]}
    return Signed("/webhooks/connectpay", told.text.encode(), headers)


def _banqup(path: str, **headers: str) -> Callable[[Told], Signed]:
    return lambda told: Signed(path, told.text.encode(), headers | {"Content-Type": "application/json"})


def _decoded(value: bytes) -> bytes:
    return base64.b64decode(value.strip(b" \t"))


def _address(callback: Callback) -> object:
    """The sender's address, however it is written."""
    found = ipaddress.ip_address(callback.peer)
    return getattr(found, "ipv4_mapped", None) or found


def _bcb_covers(callback: Callback) -> object:
    named = [callback.headers[f"bcb-{name}"] for name in ("timestamp", "nonce")]
    return callback.method, callback.path, *named, callback.body


def _sealed(callback: Callback) -> object:
    return _decoded(callback.headers["nonce"]), _decoded(callback.headers["authenticationtag"]), callback.body


def _numbered(callback: Callback) -> object:
    return callback.headers["webhook-id"], callback.headers["webhook-timestamp"], callback.body


KINDS = {
    "bcb": Kind("bcb", lambda told: BankSigner(lambda: NOW).sign(told.text.encode()), _bcb_covers, SECRET, {}),
    "bcb by RSA": Kind("bcb", _by_rsa, _bcb_covers, SECRET, {}, jwks=True),
    "banking_circle": Kind(
        "banking_circle",
        lambda told: EncryptingBank(path="/webhooks/banking_circle").sign(told.text),
        _sealed,
        KEY,
        {},
    ),
    "connectpay": Kind(
        "connectpay",
        _connectpay,
        lambda callback: (callback.headers["x-connectpay-token"].strip(), _address(callback)),
        TOKEN,
        {},
    ),
    "banqup in a header": Kind(
        "banqup",
        _banqup("/webhooks/banqup/messages", **{"X-Banqup-Token": TOKEN}),
        lambda callback: callback.headers["x-banqup-token"].strip(),
        TOKEN,
        {"token_in": "header"},
    ),
    "banqup in the path": Kind(
        "banqup",
        _banqup(f"/webhooks/banqup/{TOKEN}/messages"),
        lambda callback: callback.channel,
        TOKEN,
        {"token_in": "path"},
    ),
    "banqup by address": Kind(
        "banqup",
        _banqup("/webhooks/banqup/messages"),
        _address,
        None,
        {"allowed_addresses": [CONNECTPAY_ADDRESS]},
    ),
    "standard_webhooks": Kind("standard_webhooks", _message, _numbered, WHSEC, {}),
    "standard_webhooks by ed25519": Kind(
        "standard_webhooks",
        _by_ed25519,
        _numbered,
        "whpk_" + base64.b64encode(HOLDER.public_key().public_bytes_raw()).decode(),
        {},
    ),
}

assert {kind.bank for kind in KINDS.values()} == set(SHAPES)
