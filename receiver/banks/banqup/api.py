"""Banqup's API: the status of a payment, and registering the message listener."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from receiver.banks import payload
from receiver.banks.bank import Answer
from receiver.banks.banqup import options
from receiver.banks.banqup.statuses import state
from receiver.banks.connection import Connection
from receiver.banks.errors import AnswerUnreadable, Forbidden, NothingShown, NotOffered

EXTENSION_POINTS = "/core/plugin/api/v1/extensionPoints"
LISTENERS = "?namespace=com.unifiedpost.btx&name=messageListeners&version=1.0"

NO_ACCESS = "the API is not enabled for this app, or the app has no access to the resource: ask Banqup for it"
NO_DATA = "no data, which is what Banqup answers to an app that is not on its whitelist: ask Banqup for it"


def payment(connection: Connection, payment_id: str, facts: Mapping[str, Any]) -> Answer:
    """Ask for a payment in its space, which the source names, or else the messages about the payment.

    Raises:
        BankError
    """
    space = connection.options.get("space") or facts.get("space_id")
    if not space:
        raise NotOffered("the payment's space is not known: no message named it, and the source has no option space")
    path = f"/payments/v1/spaces/{quote(str(space), safe='')}/payments/{quote(payment_id, safe='')}"
    found = state(_data(lambda: connection.get(path)), or_status=True)
    if found is None:
        raise AnswerUnreadable("the payment has neither `status.payment` nor `status`")
    return Answer(found.bank_status, found.status)


def register(connection: Connection, listener_url: str) -> str:
    """Register the message listener; return the extension's id, or the extension point's where it has none.

    Raises:
        BankError
    """
    points = _data(lambda: connection.get(f"{EXTENSION_POINTS}{LISTENERS}"))
    point = payload.first(points, "extensionPointId", "id")
    if point is None:
        raise AnswerUnreadable("the extension point of message listeners has no id")
    field = str(connection.options.get("listener_field", options.LISTENER_FIELD))
    path = f"{EXTENSION_POINTS}/{quote(point, safe='')}/extensions"
    try:
        answer = _explained(lambda: connection.post(path, {field: listener_url}))
    except NothingShown:
        return point
    return (payload.first(answer, "extensionId", "id") if isinstance(answer, dict) else None) or point


def _data(question: Callable[[], Any]) -> dict[str, Any]:
    """Return the object in an answer, or the first one of a list, whether or not it stands in `data`."""
    try:
        answer = _explained(question)
    except NothingShown as error:
        raise NothingShown(f"{error}: {NO_DATA}") from error
    for name in ("data", "items", "content"):
        if isinstance(answer, dict) and set(answer) == {name}:
            answer = answer[name]
    if isinstance(answer, list):
        answer = next((each for each in answer if isinstance(each, dict)), None)
    if not answer:
        raise NothingShown(NO_DATA)
    if not isinstance(answer, dict):
        raise AnswerUnreadable("a JSON object is expected")
    return answer


def _explained(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except Forbidden as error:
        raise Forbidden(f"{error}: {NO_ACCESS}") from error
