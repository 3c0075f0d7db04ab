"""The yardstick: a Flask application that only answers, with as many bytes as it is told (`BARE_BYTES`)."""

import os

from flask import Flask, Response

app = Flask(__name__, static_folder=None)
_BODY = b" " * int(os.environ["BARE_BYTES"])


@app.get("/healthz")
@app.get("/api/v1/feed")
def answer() -> Response:
    """Answer."""
    return Response(_BODY, content_type="application/json")
