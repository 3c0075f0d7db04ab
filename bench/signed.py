"""Callbacks signed ahead, in files that the load generator sends: each with a nonce and a transaction of its own."""

import base64
import hashlib
import hmac
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bank import SECRET, deposit

BODY_BYTES = 600
STRIPE_SECRET = "whsec_" + "b" * 32
"""Of the benchmark alone, as are the next two."""
STRIPE_PATH = "/stripe/webhook/11111111-2222-4333-8444-555555555555/"
HOOK_SECRET = "of the benchmark alone"  # noqa: S105

_MARK = "@MARK@"

Body = tuple[bytes, bytes]
"""What comes before the identity and what comes after it."""


def _padded(document: dict[str, object], pad: str) -> Body:
    """Write the document in JSON, made `BODY_BYTES` long once the identity of 16 characters is in."""
    short = len(json.dumps(document)) - len(_MARK) + 16
    document[pad] = str(document[pad]) + "." * max(0, BODY_BYTES - short)
    before, _, after = json.dumps(document).partition(_MARK)
    return before.encode(), after.encode()


def _requests(body: Body, path: str, sign: Callable[[bytes], str], number: int, fresh: bool) -> Iterator[bytes]:
    before, after = body
    length = len(before) + 16 + len(after)
    start = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bank/1\r\nAccept: */*\r\n"
        f"{'Connection: close' if fresh else 'Connection: keep-alive'}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n"
    )
    for _ in range(number):
        text = before + os.urandom(8).hex().encode() + after
        yield f"{start}{sign(text)}\r\n".encode() + text


def bcb(path: str) -> tuple[Body, Callable[[bytes], str]]:
    """As BCB signs, by the same rules as `BankSigner` of the tests."""
    keyed = hmac.new(base64.b64decode(SECRET), digestmod=hashlib.sha256)
    timestamp, end = str(int(time.time())), f"POST{path}".encode()

    def sign(text: bytes) -> str:
        raw = os.urandom(16).hex()
        nonce = f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"
        digest = keyed.copy()
        digest.update(f"{timestamp}{nonce}".encode() + end + text)
        signature = base64.b64encode(digest.digest()).decode()
        return f"Bcb-Signature: {signature}\r\nBcb-Timestamp: {timestamp}\r\nBcb-Nonce: {nonce}\r\n"

    return _padded(deposit(transactionId=_MARK), "transactionDetails"), sign


def hook(_path: str) -> tuple[Body, Callable[[bytes], str]]:
    """As a rule of adnanh's `webhook` can verify it: an HMAC over the body alone."""
    keyed = hmac.new(HOOK_SECRET.encode(), digestmod=hashlib.sha256)

    def sign(text: bytes) -> str:
        digest = keyed.copy()
        digest.update(text)
        return f"X-Signature: {digest.hexdigest()}\r\n"

    return _padded(deposit(transactionId=_MARK), "transactionDetails"), sign


def stripe(_path: str) -> tuple[Body, Callable[[bytes], str]]:
    """As Stripe signs; the event is of a type that dj-stripe stores and does nothing else with."""
    keyed = hmac.new(STRIPE_SECRET.encode(), digestmod=hashlib.sha256)
    timestamp = int(time.time())

    def sign(text: bytes) -> str:
        digest = keyed.copy()
        digest.update(f"{timestamp}.".encode() + text)
        return f"Stripe-Signature: t={timestamp},v1={digest.hexdigest()}\r\n"

    money = [{"amount": 100000, "currency": "usd", "source_types": {"card": 100000}}]
    event: dict[str, object] = {
        "id": f"evt_{_MARK}",
        "object": "event",
        "api_version": "2026-05-27.dahlia",
        "created": timestamp,
        "data": {"object": {"object": "balance", "available": money, "pending": money, "livemode": False}},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "balance.available",
        "note": "",
    }
    return _padded(event, "note"), sign


def write(file: Path, signer: str, path: str, number: int, *, fresh: bool = False) -> Path:
    """Write so many requests, signed now; senders have 300 seconds to send them."""
    body, sign = SIGNERS[signer](path)
    with file.open("wb") as out:
        for request in _requests(body, path, sign, number, fresh):
            out.write(struct.pack("<I", len(request)) + request)
    return file


SIGNERS: dict[str, Callable[[str], tuple[Body, Callable[[bytes], str]]]] = {"bcb": bcb, "hook": hook, "stripe": stripe}
