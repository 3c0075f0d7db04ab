"""Sending as ConnectPay does."""

import json
from typing import Any

from flask.testing import FlaskClient
from others import CONNECTPAY_ADDRESS, TOKEN
from werkzeug.test import TestResponse


def send(
    client: FlaskClient,
    body: dict[str, Any] | bytes = b"",
    token: str | None = TOKEN,
    peer: str = CONNECTPAY_ADDRESS,
    sent_at: str | None = None,
    path: str = "/webhooks/connectpay",
    **headers: str,
) -> TestResponse:
    raw = json.dumps(body).encode() if isinstance(body, dict) else body
    shown = {"x-connectpay-token": token, "x-connectpay-timestamp": sent_at, **headers}
    given = {name: value for name, value in shown.items() if value is not None}
    return client.post(path, data=raw, headers=given, environ_base={"REMOTE_ADDR": peer})


def assert_ok(answer: TestResponse) -> None:
    assert (answer.status_code, answer.content_type, answer.data) == (200, "text/plain", b"OK")
