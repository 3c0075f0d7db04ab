"""Banking Circle's subscriptions: where its notifications go, by which key, and (in a second call) what about.

Paths, statuses and events are documented, as is that a fresh `rowVersion` must be sent with a change. Of the names of
fields that are not, all that are likely are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.banks import json_values, urls
from receiver.banks.abilities import NewSubscription, Subscription, SubscriptionIncomplete
from receiver.banks.banking_circle import api
from receiver.banks.errors import AnswerUnreadable, BankError, NothingShown, RequestRefused
from receiver.banks.http import HttpClient

SUBSCRIPTION = "/api/v1/notificationselfservice/subscription"
EVENT = "/api/v1/notificationselfservice/subscriptionevent"

EVENTS = {
    "IncomingPaymentProcessed": 1,
    "OutgoingPaymentRejected": 2,
    "OutgoingPaymentProcessed": 3,
    "MissingFunding": 4,
    "Reversed": 5,
    "OutgoingPaymentBooked": 6,
    "PaymentRouting": 7,
    "IncomingPaymentBooked": 8,
    "OutgoingDirectDebitPendingProcessing": 10,
}
"""What a subscription may tell, by the bank's own numbers."""

TOPICS = tuple(EVENTS)

INACTIVE, ACTIVE = 1, 2

ADDRESS_NAMES = ("endpoint", "url", "callbackUrl", "webhookUrl")
VERSION_NAMES = ("rowVersion", "RowVersion")

CHANGED_AT_ONCE = 3
"""How often a change is tried whose `rowVersion` somebody else has made an old one meanwhile."""


def subscriptions(client: HttpClient) -> Sequence[Subscription]:
    """Return all of `GET …/subscription`.

    Raises:
        BankError
    """
    return [_read(fields) for fields in _listed(client.get(SUBSCRIPTION))]


def _listed(answer: Any) -> list[dict[str, Any]]:
    by_name = {name.lower(): value for name, value in answer.items()} if isinstance(answer, dict) else {}
    listed = answer if isinstance(answer, list) else by_name.get("result", by_name.get("subscriptions"))
    if not isinstance(listed, list):
        raise AnswerUnreadable(f"GET {SUBSCRIPTION}: a list is expected")
    return json_values.objects(listed)


def subscribe(client: HttpClient, wanted: NewSubscription) -> Sequence[Subscription]:
    """Make one, then add each event to it for all companies whose accounts the user sees.

    Raises:
        BankError: `SubscriptionIncomplete` where an event was not added.
    """
    accounts = api.paged(client, api.ACCOUNTS, {})
    companies = sorted({found for fields in accounts if (found := json_values.text(fields, "ownedByCompanyId"))})
    if not companies:
        raise AnswerUnreadable(f"GET {api.ACCOUNTS}: no account names its company, so there is nothing to subscribe to")
    body = {"endpoint": wanted.address, "status": ACTIVE, "encryptionKey": wanted.secret, "description": None}
    made = _read(_object(client.call("POST", SUBSCRIPTION, body)))
    added: list[str] = []
    for topic in wanted.topics:
        event = {"subscriptionId": made.id, "eventType": EVENTS[topic], "targetIds": companies}
        try:
            client.call("POST", EVENT, event)
        except NothingShown:
            pass
        except BankError as error:
            tells = ", ".join(added) or "nothing"
            raise SubscriptionIncomplete(f"{made.id} is made and tells {tells}, but not {topic}: {error}") from error
        added.append(topic)
    return [Subscription(made.id, wanted.address, added, is_active=True)]


def unsubscribe(client: HttpClient, subscription_id: str) -> None:
    """Deactivate one: `PUT …/subscription/{id}` with the `rowVersion` of a `GET` just before.

    Raises:
        BankError
    """
    path = f"{SUBSCRIPTION}/{urls.segment(subscription_id)}"
    for tries_left in reversed(range(CHANGED_AT_ONCE)):
        fresh = client.get_object(path)
        if not any(name in fresh for name in VERSION_NAMES):
            raise AnswerUnreadable(f"GET {path}: no `rowVersion`, without which nothing can be changed")
        try:
            client.call("PUT", path, {**fresh, "status": INACTIVE})
        except NothingShown:
            return
        except RequestRefused:
            # Somebody else may have changed it since.
            if not tries_left:
                raise
        else:
            return


def _object(answer: Any) -> Mapping[str, Any]:
    return answer if isinstance(answer, dict) else {}


def _read(fields: Mapping[str, Any]) -> Subscription:
    found = json_values.text(fields, "subscriptionId", "id")
    if found is None:
        raise AnswerUnreadable(f"{SUBSCRIPTION}: a subscription without an id")
    return Subscription(
        found,
        json_values.text(fields, *ADDRESS_NAMES),
        [_event(event) for event in json_values.objects(_events(fields))],
        is_active=str(fields.get("status")).lower() in (str(ACTIVE), "active"),
    )


def _events(fields: Mapping[str, Any]) -> list[Any]:
    found = fields.get("subscriptionEvents", fields.get("events"))
    return found if isinstance(found, list) else []


def _event(fields: Mapping[str, Any]) -> str:
    number = json_values.whole_number(fields, "eventType")
    by_number = {known: name for name, known in EVENTS.items()}
    return by_number.get(number or 0) or json_values.text(fields, "eventType", "notificationType") or "unknown"
