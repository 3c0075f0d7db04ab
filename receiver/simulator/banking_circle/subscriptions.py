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
    """Take up a subscription `{"endpoint","status","encryptionKey"}`; without events it stays silent."""
    body = _body()
    endpoint, key = body.get("endpoint"), body.get("encryptionKey")
    if not isinstance(endpoint, str) or not is_url(endpoint) or body.get("status") not in STATUSES:
        raise Refusal(400, "BadRequest", "endpoint and status are required", shape="validation")
    if not isinstance(key, str) or len(key) != KEY_CHARACTERS:
        raise Refusal(400, "BadRequest", "encryptionKey takes 32 characters", shape="validation")
    made = Subscription(endpoint, int(str(body["status"])), key)
    bank().subscriptions[made.subscription_id] = made
    return json_answer(made.as_json(), 201)


@blueprint.get("/subscription/<subscription_id>")
def show(subscription_id: str) -> Response:
    """Show one."""
    return json_answer(_found(subscription_id).as_json())


@blueprint.put("/subscription/<subscription_id>")
def change(subscription_id: str) -> Response:
    """Change status, endpoint or description, by a fresh `rowVersion`."""
    found, body = _found(subscription_id), _body()
    _check_version(found, body.get("rowVersion"))
    if body.get("status") not in STATUSES:
        raise Refusal(400, "BadRequest", "status is required", shape="validation")
    found.status, found.version = int(str(body["status"])), found.version + 1
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
    event, targets = body.get("eventType"), body.get("targetIds")
    if event not in EVENTS or not isinstance(targets, list) or not targets:
        raise Refusal(400, "BadRequest", "eventType and targetIds are required", shape="validation")
    if event in found.events:
        raise Refusal(409, "Conflict", "The subscription has this event already")
    found.events[int(str(event))] = [str(target) for target in targets]
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


def _body() -> dict[str, object]:
    try:
        body = loads(request.get_data())
    except ValueError as error:
        raise Refusal(400, "BadRequest", "The body is not JSON") from error
    if not isinstance(body, dict):
        raise Refusal(400, "BadRequest", "The body must be a JSON object")
    return body
