"""The bank's subscriptions (self-service of notifications): made by one call, their events added by others.

Each change needs the `rowVersion` of a `GET` just before. The names of fields that are not published are a guess:
`subscriptionId, endpoint, status, description, rowVersion, subscriptionEvents`; the encryption key is never shown.
"""

import uuid

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.banking_circle.bank import Subscription, bank
from receiver.simulator.json_bodies import Refusal, is_url, json_answer, loads

STATUSES, EVENTS = (0, 1, 2, 4), (1, 2, 3, 4, 5, 6, 7, 8, 10)
KEY_CHARACTERS = 32


blueprint = Blueprint("banking_circle_subscriptions", __name__, url_prefix="/api/v1/notificationselfservice")


@blueprint.before_request
def enter() -> None:
    """Check the bearer token.

    Raises:
        Refusal: 401.
    """
    if bank().tokens.presented() is None:
        raise Refusal(401, "Unauthorized", "The access token is missing or has expired")


@blueprint.get("/subscription")
def listing() -> Response:
    """List all."""
    return json_answer([found.as_json() for found in bank().subscriptions.values()])


@blueprint.post("/subscription")
def make() -> Response:
    """Take up a subscription `{"endpoint","status","encryptionKey","description"?}`; without events it stays silent."""
    body = _body()
    key = body.get("encryptionKey")
    if not isinstance(key, str) or len(key) != KEY_CHARACTERS:
        raise _invalid("encryptionKey takes 32 characters")
    made = Subscription(_endpoint(body), _number(body, "status", STATUSES), key, _description(body))
    bank().subscriptions[made.subscription_id] = made
    return json_answer(made.as_json(), 201)


@blueprint.get("/subscription/<subscription_id>")
def show(subscription_id: str) -> Response:
    """Show one."""
    return json_answer(_found(subscription_id).as_json())


@blueprint.put("/subscription/<subscription_id>")
def change(subscription_id: str) -> Response:
    """Change status, and endpoint or description where they are given, by a fresh `rowVersion`."""
    found, body = _found(subscription_id), _body()
    _check_version(found, body.get("rowVersion"))
    status = _number(body, "status", STATUSES)
    endpoint = _endpoint(body) if "endpoint" in body else found.endpoint
    description = _description(body) if "description" in body else found.description
    found.status, found.endpoint, found.description = status, endpoint, description
    found.version += 1
    return json_answer(found.as_json())


@blueprint.delete("/subscription/<subscription_id>")
def delete(subscription_id: str) -> Response:
    """Delete one, by a fresh `rowVersion` in the query."""
    _check_version(_found(subscription_id), request.args.get("rowVersion"))
    del bank().subscriptions[subscription_id]
    return Response(status=204)


@blueprint.post("/subscriptionevent")
def add_event() -> Response:
    """Add one event to a subscription: `{"subscriptionId","eventType","targetIds"}`; each event once."""
    body = _body()
    found = _found(str(body.get("subscriptionId")))
    event, targets = _number(body, "eventType", EVENTS), body.get("targetIds")
    if not isinstance(targets, list) or not targets:
        raise _invalid("targetIds are required")
    if event in found.events:
        raise Refusal(409, "Conflict", "The subscription has this event already")
    found.events[event] = [str(target) for target in targets]
    found.version += 1
    return json_answer({"subscriptionEventId": str(uuid.uuid4())}, 201)


def _found(subscription_id: str) -> Subscription:
    found = bank().subscriptions.get(subscription_id)
    if found is None:
        raise Refusal(404, "NotFound", "Subscription was not found")
    return found


def _check_version(found: Subscription, shown: object) -> None:
    if shown != f"v{found.version}":
        raise Refusal(409, "Conflict", "rowVersion is not that of the subscription")


def _invalid(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message, shape="validation")


def _number(body: dict[str, object], name: str, known: tuple[int, ...]) -> int:
    number = body.get(name)
    # In Python true is 1.
    if not isinstance(number, int) or isinstance(number, bool) or number not in known:
        raise _invalid(f"{name} must be one of {', '.join(map(str, known))}")
    return number


def _endpoint(body: dict[str, object]) -> str:
    endpoint = body.get("endpoint")
    if not isinstance(endpoint, str) or not is_url(endpoint):
        raise _invalid("endpoint must be an address")
    return endpoint


def _description(body: dict[str, object]) -> str | None:
    description = body.get("description")
    if description is not None and not isinstance(description, str):
        raise _invalid("description must be a text")
    return description


def _body() -> dict[str, object]:
    try:
        body = loads(request.get_data())
    except ValueError as error:
        raise Refusal(400, "BadRequest", "The body is not JSON") from error
    if not isinstance(body, dict):
        raise Refusal(400, "BadRequest", "The body must be a JSON object")
    return body
