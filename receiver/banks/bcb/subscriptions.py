"""BCB's subscriptions: where its notifications go. That they exist is documented; the names of their fields are not."""

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.banks import json_values, urls
from receiver.banks.abilities import NewSubscription, Subscription, SubscriptionIncomplete
from receiver.banks.bcb import api
from receiver.banks.errors import AnswerUnreadable, BankError, NothingShown
from receiver.banks.http import HttpClient

TOPICS = ("Deposits",)
"""The one that is documented."""

SUBSCRIPTIONS = "/v1/notifications/subscriptions"

ADDRESS_NAMES = ("callbackUrl", "webhookUrl", "url", "endpoint")
ACTIVE_NAMES = ("isActive", "active", "enabled")


def subscriptions(client: HttpClient) -> Sequence[Subscription]:
    """Return all, from every page of `GET /v1/notifications/subscriptions`.

    Raises:
        BankError
    """
    return [_read(fields) for fields in api.entries(client, SUBSCRIPTIONS)]


def subscribe(client: HttpClient, wanted: NewSubscription) -> Sequence[Subscription]:
    """Make one for each topic: `POST /v1/notifications/subscriptions` with `topic` and `callbackUrl`.

    Raises:
        BankError: `SubscriptionIncomplete` where some were made before.
    """
    made: list[Subscription] = []
    for topic in wanted.topics:
        try:
            answer = client.call("POST", SUBSCRIPTIONS, {"topic": topic, "callbackUrl": wanted.address})
            made.append(_read(answer if isinstance(answer, dict) else {}))
        except BankError as error:
            if not made:
                raise
            done = ", ".join(subscription.id for subscription in made)
            raise SubscriptionIncomplete(f"{done} made, but none to {topic}: {error}") from error
    return made


def unsubscribe(client: HttpClient, subscription_id: str) -> None:
    """Deactivate one: `PATCH …/{id}/deactivate`; the path is deduced.

    Raises:
        BankError
    """
    try:
        client.call("PATCH", f"{SUBSCRIPTIONS}/{urls.segment(subscription_id)}/deactivate")
    except NothingShown:
        return


def _read(fields: Mapping[str, Any]) -> Subscription:
    found = json_values.text(fields, "subscriptionId", "id")
    if found is None:
        raise AnswerUnreadable(f"{SUBSCRIPTIONS}: a subscription without `subscriptionId`")
    topic = json_values.text(fields, "topic")
    is_active = next((fields[name] for name in ACTIVE_NAMES if isinstance(fields.get(name), bool)), True)
    return Subscription(found, json_values.text(fields, *ADDRESS_NAMES), [topic] if topic else [], is_active)
