"""Senders that are not ours: the packages `standardwebhooks` and `svix` sign, a real server verifies."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import others
import pytest
import requests
import standardwebhooks
import svix
from conftest import KEY
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from others import WHSEC
from servers import WebServer, environment

from receiver.runtime import Runtime

BODY = json.dumps({"type": "invoice.paid", "timestamp": "2026-03-04T12:00:00Z", "data": {"id": "inv_1"}})
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()

Sign = Callable[[str, datetime, str], str]


def sign_v1a(message_id: str, at: datetime, body: str) -> str:
    """No package signs so; by the specification."""
    signed = f"{message_id}.{int(at.timestamp())}.{body}".encode()
    return "v1a," + base64.b64encode(PRIVATE.sign(signed)).decode()


SENDERS: dict[str, tuple[Sign, str, str]] = {
    "standardwebhooks": (standardwebhooks.Webhook(WHSEC).sign, "webhook", "std"),
    "svix": (svix.Webhook(WHSEC).sign, "webhook", "std"),
    "svix with headers of its own": (svix.Webhook(WHSEC).sign, "svix", "svix"),
    "ed25519": (sign_v1a, "webhook", "public"),
}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.fixture
def server(database_url: str, live: Runtime) -> Iterator[WebServer]:
    others.add(live, "standard_webhooks", WHSEC, name="std")
    others.add(live, "standard_webhooks", WHSEC, name="svix", headers="svix")
    others.add(live, "standard_webhooks", PUBLIC, name="public")
    started = WebServer(environment(database_url, KEY, RECEIVER_LOG_LEVEL="WARNING")).start()
    yield started
    started.stop()


def test_what_other_packages_sign_is_accepted_once_and_what_was_altered_is_not(server: WebServer) -> None:
    for number, (sign, prefix, source) in enumerate(SENDERS.values()):
        message_id = f"msg_{number}"
        url = f"{server.url}/webhooks/{source}"

        def headers(
            at: datetime, sign: Sign = sign, prefix: str = prefix, message_id: str = message_id
        ) -> dict[str, str]:
            return {
                f"{prefix}-id": message_id,
                f"{prefix}-timestamp": str(int(at.timestamp())),
                f"{prefix}-signature": sign(message_id, at, BODY),
            }

        def post(given: dict[str, str], body: str = BODY, url: str = url) -> tuple[int, Any]:
            answer = requests.post(url, data=body, headers=given, timeout=60)
            return answer.status_code, answer.json().get("status")

        now = datetime.now(UTC)
        first = headers(now)
        assert post(first, BODY + " ") == (401, 401)
        assert post({**first, f"{prefix}-id": "msg_other"}) == (401, 401)
        assert post(headers(now - timedelta(minutes=6))) == (401, 401)
        assert post(headers(now + timedelta(minutes=6))) == (401, 401)
        assert post(first) == (200, "accepted")
        assert post(first) == (200, "duplicate")
        assert post(headers(now + timedelta(seconds=5))) == (200, "duplicate")
