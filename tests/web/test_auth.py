"""Bearer tokens at the API's door."""

from datetime import timedelta

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, make_token
from flask.testing import FlaskClient
from web.reading import Headers, assert_problem, get, send

from receiver.runtime import Runtime
from receiver.store import api_tokens
from receiver.store.database import Database, StoreUnavailable

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: a token is found in the same way in both, see `tests/store/test_api_tokens.py`."""
    return sqlite_url


NEEDED = {
    "/api/v1/feed": "feed:read",
    "/api/v1/events": "events:read",
    "/api/v1/events/evt_1": "events:read",
    "/api/v1/events/evt_1/raw": "payloads:read",
    "/api/v1/payments": "payments:read",
    "/api/v1/payments/bcb/FT1": "payments:read",
}


@pytest.mark.parametrize("path", NEEDED)
def test_without_a_token_nothing_is_shown(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert_problem(answer, 401, "Authorization: Bearer")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer rcv_unknown",
        "Bearer \u00ff\u00fe",
        "Bearer a b c",
        "Basic cmN2OnJjdg==",
        "rcv_alone",
        "Bearer " + "x" * 8000,
        "bearer\trcv_x",
    ],
)
@pytest.mark.parametrize("path", NEEDED)
def test_what_is_no_valid_token_is_refused(client: FlaskClient, path: str, header: str) -> None:
    answer = client.get(path, headers={"Authorization": header})
    assert_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("path", "scope"), NEEDED.items())
def test_a_token_beyond_its_scope_is_told_which_scope_it_lacks(
    client: FlaskClient, parts: Runtime, path: str, scope: str
) -> None:
    others = [other for other in api_tokens.SCOPES if other != scope]
    answer = get(client, path, make_token(parts, *others))
    assert_problem(answer, 403, scope)
    assert answer.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'


@pytest.mark.parametrize(("path", "scope"), NEEDED.items())
def test_one_scope_opens_what_it_is_for(client: FlaskClient, parts: Runtime, path: str, scope: str) -> None:
    assert get(client, path, make_token(parts, scope)).status_code in (200, 404)


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_the_kind_of_authorization_has_no_case(client: FlaskClient, parts: Runtime, kind: str) -> None:
    token = make_token(parts)["Authorization"].removeprefix("Bearer ")
    assert client.get("/api/v1/feed", headers={"Authorization": f"{kind} {token}"}).status_code == 200


def test_a_token_in_the_query_is_not_taken(client: FlaskClient, parts: Runtime) -> None:
    token = make_token(parts)["Authorization"].removeprefix("Bearer ")
    assert client.get("/api/v1/feed", query_string={"access_token": token, "token": token}).status_code == 401


def test_a_revoked_token_ends_at_once(client: FlaskClient, parts: Runtime, token: Headers) -> None:
    assert get(client, "/api/v1/feed", token).status_code == 200
    with parts.database.write() as connection:
        api_tokens.revoke(connection, "app", parts.clock())
    assert_problem(get(client, "/api/v1/feed", token), 401)


def test_an_expired_token_is_refused(client: FlaskClient, parts: Runtime, clock: StandingClock) -> None:
    with parts.database.write() as connection:
        made = api_tokens.create(
            connection,
            name="short",
            scopes=api_tokens.SCOPES,
            sources=(),
            now=clock(),
            expires_at=clock() + timedelta(seconds=10),
        )
    headers = {"Authorization": f"Bearer {made}"}
    assert get(client, "/api/v1/feed", headers).status_code == 200
    clock.forward(10)
    assert_problem(get(client, "/api/v1/feed", headers), 401)


def last_used(parts: Runtime) -> object:
    with parts.database.read() as connection:
        return api_tokens.every(connection)[0].last_used_at


def test_the_time_of_last_use_is_noted_at_most_once_a_minute(
    client: FlaskClient, parts: Runtime, token: Headers, clock: StandingClock
) -> None:
    assert last_used(parts) is None
    first = clock()
    get(client, "/api/v1/feed", token)
    clock.forward(59)
    get(client, "/api/v1/feed", token)
    assert last_used(parts) == first
    clock.forward(1)
    get(client, "/api/v1/feed", token)
    assert last_used(parts) == clock()


def test_a_refused_token_is_not_noted_as_used(client: FlaskClient, parts: Runtime) -> None:
    get(client, "/api/v1/feed", make_token(parts, "events:read"))
    assert last_used(parts) is None


def test_a_database_that_can_only_be_read_is_read(
    client: FlaskClient, bank: BankSigner, token: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, bank.sign(deposit()))

    def fail(_: Database) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(Database, "write", fail)
    assert get(client, "/api/v1/events", token).status_code == 200
