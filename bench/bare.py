"""The yardstick: a Flask application that only answers, with as many bytes as it is told (`BARE_BYTES`)."""

import base64
import hashlib
import hmac
import os
from typing import Any

from flask import Flask, Response, abort, jsonify, request

app = Flask(__name__, static_folder=None)
_BODY = b" " * int(os.environ.get("BARE_BYTES", "2"))
_KEY = base64.b64decode(os.environ.get("BENCH_SECRET", ""))


@app.get("/healthz")
@app.get("/api/v1/feed")
def answer() -> Response:
    """Answer."""
    return Response(_BODY, content_type="application/json")


@app.post("/webhooks/bcb")
def take() -> Response:
    """Say what the receiver says, having done nothing."""
    return jsonify(status="accepted", events=["evt_01936f4c1a2b7c3d8e4f5a6b7c8d9e0f"])


@app.post("/verified")
def verify() -> Response:
    """Verify an HMAC and parse JSON, and forget it."""
    headers, body = request.headers, request.get_data()
    text = f"{headers['Bcb-Timestamp']}{headers['Bcb-Nonce']}POST{request.path}".encode() + body
    expected = base64.b64encode(hmac.digest(_KEY, text, hashlib.sha256))
    if not hmac.compare_digest(expected, headers["Bcb-Signature"].encode()):
        abort(401)
    told: dict[str, Any] = request.get_json()
    return jsonify(status="accepted", events=[f"evt_{told['transactionId']}"])
