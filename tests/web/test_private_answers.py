"""No answer of the API is kept on its way, or taken for something else than its type says, errors included."""

import pytest
from conftest import make_token
from flask.testing import FlaskClient
from sqlalchemy import text

from receiver.runtime import Runtime


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.mark.usefixtures("source")
def test_every_answer_below_api_v1_says_so(client: FlaskClient, parts: Runtime, token: dict[str, str]) -> None:
    weak = make_token(parts, "feed:read", name="weak")
    asked = [
        ("GET", "/api/v1/feed", token, 200),
        ("GET", "/api/v1/events", token, 200),
        ("GET", "/api/v1/events?limit=x", token, 400),
        ("GET", "/api/v1/events", {}, 401),
        ("GET", "/api/v1/events", weak, 403),
        ("GET", "/api/v1/events/evt_none", token, 404),
        ("GET", "/api/v1/nothing", {}, 404),
        ("GET", "/api/v1", {}, 404),
        ("DELETE", "/api/v1/feed", token, 405),
        ("POST", "/api/v1/replays", token, 400),
    ]
    for method, path, headers, status in asked:
        answer = client.open(path, method=method, headers=headers)
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers.getlist("Cache-Control") == ["no-store"], path
        assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"], path
    with parts.database.write() as connection:
        connection.execute(text("DROP TABLE events"))
    answer = client.get("/api/v1/events", headers=token)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (503, "no-store")
