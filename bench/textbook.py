"""The receiver that people write: Flask, an ORM session for each request, a commit for each callback.

It verifies the same HMAC, lets a unique constraint tell duplicates, and is as durable as ours: `synchronous=FULL` on
SQLite (in WAL mode, its faster one), `synchronous_commit=on` on PostgreSQL. It stores one row for each callback.
"""

import base64
import hashlib
import hmac
import os
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, UniqueConstraint, create_engine

URL = os.environ["TEXTBOOK_DATABASE_URL"]
KEY = base64.b64decode(os.environ["BENCH_SECRET"])
STALE_SECONDS = 300


class Callback(SQLModel, table=True):
    """One callback."""

    __table_args__ = (UniqueConstraint("account", "transaction_id", "type"), UniqueConstraint("nonce"))

    id: int | None = Field(default=None, primary_key=True)
    nonce: str
    account: str
    transaction_id: str
    type: str
    amount: str
    currency: str
    received_at: datetime
    payload: str


if URL.startswith("sqlite"):
    engine = create_engine(URL, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
else:
    engine = create_engine(URL, pool_size=20, connect_args={"options": "-c synchronous_commit=on"})

app = Flask(__name__, static_folder=None)


@app.get("/healthz")
def healthz() -> Response:
    """Say that the process is up."""
    return jsonify(status="ok")


@app.post("/webhooks/bcb")
def receive() -> Response:
    """Take in one callback."""
    body = request.get_data()
    if not _is_genuine(body):
        abort(401)
    told = request.get_json()
    with Session(engine) as session:
        session.add(_callback(told, body))
        try:
            session.commit()
        except IntegrityError:
            session.rollback()
            return jsonify(status="duplicate")
    return jsonify(status="accepted")


def _is_genuine(body: bytes) -> bool:
    timestamp, nonce = request.headers.get("Bcb-Timestamp", ""), request.headers.get("Bcb-Nonce", "")
    expected = base64.b64encode(
        hmac.digest(KEY, f"{timestamp}{nonce}POST{request.path}".encode() + body, hashlib.sha256)
    )
    if not hmac.compare_digest(expected, request.headers.get("Bcb-Signature", "").encode()):
        return False
    return abs(time.time() - int(timestamp)) <= STALE_SECONDS


def _callback(told: dict[str, Any], body: bytes) -> Callback:
    return Callback(
        nonce=request.headers["Bcb-Nonce"],
        account=told["accountNumber"],
        transaction_id=told["transactionId"],
        type=told["type"],
        amount=told["value"]["amount"],
        currency=told["value"]["currency"],
        received_at=datetime.now(UTC),
        payload=body.decode(),
    )


if __name__ == "__main__":
    SQLModel.metadata.create_all(engine)
