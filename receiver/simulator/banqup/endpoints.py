"""The bank's endpoints: tokens by OAuth 2.0 client credentials (RFC 6749, 4.4), extension points, payments."""

import hmac
import uuid
from datetime import timedelta

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import Refusal, json_answer, loads
from receiver.simulator.banqup.bank import bank
from receiver.simulator.validation import is_url

POINT_ID = "b5f9a6de-3f6e-4d7c-8d29-5a7f4d1f0c11"
TOKENS = ("/oauth2/client_credential/gettoken", "/oauth2/client_credential/accesstoken", "/accesstoken")
_POINTS = "/core/plugin/api/v1/extensionPoints"
_LISTENERS = {"namespace": "com.unifiedpost.btx", "name": "messageListeners", "version": "1.0"}


blueprint = Blueprint("banqup", __name__)


@blueprint.before_request
def enter() -> Response | None:
    """Check the bearer token, and what the app may see; the token requests alone need none.

    Raises:
        Refusal: 401 or 403.
    """
    if request.endpoint == "banqup.token":
        return None
    if bank().tokens.presented() is None:
        raise Refusal(401, "Unauthorized", "The access token is missing, wrong or expired")
    access = bank().config.access
    if access == "forbidden":
        raise Refusal(403, "Forbidden", "The API is not enabled for the app, or the app has no access to the resource")
    return _nothing() if access == "not-whitelisted" else None


@blueprint.post(TOKENS[0])
@blueprint.post(TOKENS[1])
@blueprint.post(TOKENS[2])
def token() -> Response:
    """Take the client's credentials, form-encoded, for `{"access_token","token_type",…}`."""
    config = bank().config
    if config.token_path not in ("both", request.path.rpartition("/")[2]):
        raise Refusal(404, "Not Found", "No such resource")
    if request.mimetype != "application/x-www-form-urlencoded":
        raise Refusal(415, "Unsupported Media Type", "The body must be form-encoded")
    if request.form.get("grant_type") != "client_credentials":
        raise Refusal(400, "Bad Request", "grant_type must be client_credentials")
    given = f"{request.form.get('client_id')}:{request.form.get('client_secret')}"
    if not hmac.compare_digest(given.encode("utf-8", "replace"), f"{config.client_id}:{config.client_secret}".encode()):
        raise Refusal(401, "Unauthorized", "client_id or client_secret is wrong")
    seconds = config.token_lifetime_seconds
    answer: dict[str, object] = {
        "access_token": bank().tokens.issue(config.client_id, seconds, {"appId": "simulator-app"}),
        "token_type": "Bearer",
    }
    if config.expiry == "expires_at":
        answer["expires_at"] = f"{bank().clock() + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
    elif config.expiry == "expires_in":
        answer["expires_in"] = int(seconds)
    return json_answer(answer)


@blueprint.get(_POINTS)
def extension_points() -> Response:
    """List the one extension point for message listeners, where it is asked for."""
    wanted = all(request.args.get(name, value) == value for name, value in _LISTENERS.items())
    return json_answer([{"id": POINT_ID, **_LISTENERS}] if wanted else [])


@blueprint.post(f"{_POINTS}/<point>/extensions")
def extend(point: str) -> Response:
    """Register a listener.

    The field that holds the address is not published: the first text in the body that is an address counts.
    """
    if point != POINT_ID:
        raise Refusal(404, "Not Found", "No such extension point")
    try:
        body = loads(request.get_data())
    except ValueError as error:
        raise Refusal(400, "Bad Request", "The body is not JSON") from error
    address = next((text for text in _texts(body) if is_url(text)), None)
    if not isinstance(body, dict) or address is None:
        raise Refusal(400, "Bad Request", "The body must be an object that holds the listener's address")
    extension = {"id": str(uuid.uuid4()), "extensionPointId": point, **body}
    bank().extensions.append(extension)
    bank().listener = address.rstrip("/")
    return json_answer(extension, 201)


@blueprint.get("/payments/v1/spaces/<space>/payments/<payment_id>")
def payment(space: str, payment_id: str) -> Response:
    """Answer with a payment in its space."""
    found = bank().payments.get(payment_id)
    status = found.status(bank().clock()) if found else None
    if found is None or status is None or found.space != space:
        raise Refusal(404, "Not Found", "No such payment in this space")
    return json_answer(found.as_json(status, bank().config.status_form))


def _nothing() -> Response:
    match bank().config.empty:
        case "nothing":
            return Response(b"", 200, content_type="application/json")
        case "list":
            return json_answer([])
        case _:
            return json_answer({})


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _texts(each)]
