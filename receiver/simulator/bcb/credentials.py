"""The endpoints for credentials, and the access token with its permissions.

Where the bank's documentation is silent: a client's creation is answered 201; a key that is no UUID, or an allow-list
that is none, 400; rotating a disabled client 409; all clients belong to the one user, for whom answers are stored; a
new client has the permissions of the one that made it; callbacks go on being signed for the client that the bank was
started with.
"""

import hmac
import uuid
from collections.abc import Callable
from typing import cast

from flask import Blueprint, g, request
from werkzeug.wrappers import Response

from receiver.simulator.bank import Token
from receiver.simulator.bcb.bank import bank
from receiver.simulator.bcb.clients import Client, Stored
from receiver.simulator.bcb.config import is_allow_list
from receiver.simulator.json_bodies import Refusal, json_answer, loads

NEEDED = "manage-credentials"

blueprint = Blueprint("bcb_credentials", __name__)


@blueprint.before_request
def enter() -> None:
    """Check a request before any endpoint sees it; requests count by client, those without a good token by address.

    Raises:
        Refusal: 401, 403 or 429.
    """
    address, config = request.remote_addr or "127.0.0.1", bank().config
    token = bank().tokens.presented()
    wait = bank().requests_limit.take(
        token.subject if token else address, config.rate_limit, config.rate_window_seconds
    )
    if wait is not None:
        raise Refusal(429, "Rate limit exceeded", "Too many requests", seconds=wait)
    if request.endpoint == "bcb_credentials.token":
        return
    client = bank().clients.get(token.subject) if token else None
    if client is None or token is None or not (_is_good(token, client) or _asks_once_more()):
        raise unauthorised()
    _check_address(client)
    g.token = token


def caller() -> str:
    """Return the id of the client that sent the current request."""
    return cast(Token, g.token).subject


def need(permission: str) -> None:
    """Check that the token carries a permission; it was fixed when the token was issued.

    Raises:
        Refusal: 403.
    """
    if permission not in cast(list[str], cast(Token, g.token).claims["permissions"]):
        raise Refusal(403, "Forbidden", f"The permission {permission} is missing")


def read_object() -> dict[str, object]:
    """Return the current request's body.

    Raises:
        Refusal: 400 where it is not a JSON object.
    """
    try:
        body = loads(request.get_data())
    except ValueError as error:
        raise Refusal(400, "Bad request", "The body is not JSON") from error
    if not isinstance(body, dict):
        raise Refusal(400, "Bad request", "The body must be a JSON object")
    return body


def unauthorised() -> Refusal:
    """Return the refusal of a caller whose token is missing, unknown or expired, or whose credentials are wrong."""
    return Refusal(401, "Unauthorized", "Authentication failed")


def not_found(what: str) -> Refusal:
    """Return the refusal for something that the bank does not know."""
    return Refusal(404, "Not found", f"{what} not found")


@blueprint.post("/auth/token")
def token() -> Response:
    """Take `{"clientId","clientSecret"}` for `{"token"}`."""
    body = read_object()
    client_id, secret = body.get("clientId"), body.get("clientSecret")
    if not isinstance(client_id, str) or not isinstance(secret, str):
        raise Refusal(400, "Bad request", "clientId and clientSecret are required")
    client = bank().clients.get(client_id)
    if client is None or not client.is_active or not _same(client.client_secret, secret):
        raise unauthorised()
    _check_address(client)
    claims = {"permissions": sorted(client.permissions), "generation": client.generation}
    return json_answer({"token": bank().tokens.issue(client_id, bank().config.token_lifetime_seconds, claims)})


@blueprint.post("/v1/credentials")
def create_credentials() -> Response:
    """Make a new client from `{"allowedIps"?}`, its secrets shown for this once."""
    need(NEEDED)
    allowed = _allowed_ips()

    def make() -> Stored:
        client = Client.new(allowed, bank().clients[caller()])
        bank().replace_client(client)
        bank().credentials.done["created"] += 1
        return 201, client.as_json()

    return _answered(make)


@blueprint.patch("/v1/credentials/<client_id>")
def rotate_credentials(client_id: str) -> Response:
    """Give a client new secrets; the old ones die at once."""
    need(NEEDED)

    def make() -> Stored:
        client = _client(client_id)
        if not client.is_active:
            raise Refusal(409, "Conflict", "The client is disabled")
        bank().replace_client(client.rotated())
        bank().credentials.done["rotated"] += 1
        return 200, bank().clients[client_id].as_json()

    return _answered(make)


@blueprint.delete("/v1/credentials/<client_id>")
def disable_credentials(client_id: str) -> Response:
    """Disable a client; twice is no error."""
    need(NEEDED)

    def make() -> Stored:
        client = _client(client_id)
        bank().replace_client(client.disabled())
        bank().credentials.done["disabled"] += client.is_active
        return 200, bank().clients[client_id].as_json(with_secrets=False)

    return _answered(make)


@blueprint.get("/v1/credentials/<client_id>/permissions")
def permissions(client_id: str) -> Response:
    """List a client's permissions, `[{key, description}]`, sorted by key."""
    need(NEEDED)
    keys = sorted(_client(client_id).permissions)
    return json_answer([{"key": key, "description": f"May {key.replace('-', ' ')}"} for key in keys])


def _answered(make: Callable[[], Stored]) -> Response:
    key = _idempotency_key()
    if key is not None:
        try:
            uuid.UUID(key)
        except ValueError:
            raise Refusal(400, "Bad request", "Idempotency-Key must be a UUID") from None
    status, body = bank().credentials.answer(_call(), key, make)
    return json_answer(body, status)


def _call() -> str:
    return f"{request.method} {request.path}"


def _idempotency_key() -> str | None:
    return request.headers.get("Idempotency-Key")


def _is_good(token: Token, client: Client) -> bool:
    outlived = token.claims["generation"] == client.generation or bank().credentials.old_tokens == "kept"
    return client.is_active and outlived


def _asks_once_more() -> bool:
    """Tell whether a token from before a rotation asks for what was answered then, where the bank lets it."""
    answers = bank().credentials
    return answers.old_tokens != "revoked" and answers.has_answer(_call(), _idempotency_key())


def _check_address(client: Client) -> None:
    if not client.admits(request.remote_addr or "127.0.0.1"):
        raise Refusal(403, "Forbidden", "IP address not allowed")


def _client(client_id: str) -> Client:
    found = bank().clients.get(client_id)
    if found is None:
        raise not_found("Client")
    return found


def _allowed_ips() -> str | None:
    given = read_object().get("allowedIps") if request.get_data() else None
    if given is None:
        return None
    if not isinstance(given, str) or not is_allow_list(given):
        raise Refusal(400, "Bad request", "allowedIps must be comma-separated addresses and CIDR ranges")
    return given


def _same(known: str, given: str) -> bool:
    return hmac.compare_digest(known.encode(), given.encode("utf-8", "surrogatepass"))
