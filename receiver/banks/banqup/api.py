"""Banqup's API: token, payments, registration of the listener, and what its statuses mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from receiver.banks import http, json_values, urls
from receiver.banks.banqup import options
from receiver.banks.errors import AnswerUnreadable, Forbidden, NothingShown, NotOffered
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, status_in

PAYMENT_STATUSES = {"received": "pending", "paid": "completed", "failed": "rejected"}

INFORMATIONAL = "INFORMATIONAL"
"""A level of certainty: what is said may still change."""

EXTENSION_POINTS = "/core/plugin/api/v1/extensionPoints"
LISTENERS = "?namespace=com.unifiedpost.btx&name=messageListeners&version=1.0"

NO_ACCESS = "the API is not enabled for this app, or the app has no access to the resource: ask Banqup for it"
NO_DATA = "no data, which is what Banqup answers to an app that is not on its whitelist: ask Banqup for it"
NO_SPACE = "the payment's space is not known: no message named it, and the source has no option space"


@dataclass(frozen=True)
class State:
    """What is said of a payment: the bank's word (with its level of certainty where it is not certain), and ours."""

    bank_status: str
    status: str
    word: str
    """The bank's word alone."""


def state(fields: Mapping[str, Any], *, or_status: bool = False) -> State | None:
    """Return what a message or an answer says of a payment: `status.payment`, or else (`or_status`) `status`.

    Either may stand in `data`. A bare `status` around that may be the answer's own, so it comes last.
    """
    places = (fields, json_values.inner(fields, "data"))
    words = [
        json_values.text(json_values.inner(each, "status"), "payment") or json_values.text(each, "status.payment")
        for each in places
    ]
    words += [json_values.text(each, "status") for each in reversed(places) if or_status]
    word = next(filter(None, words), None)
    if word is None:
        return None
    return _state(word, is_certain=all(map(_is_certain, json_values.everywhere(fields, "levelOfCertainty"))))


def _is_certain(level: Any) -> bool:
    """Tell whether a level of certainty leaves nothing open; one that can't be read may be any."""
    if not isinstance(level, str):
        return False
    return not level or (json_values.usable_text(level) or INFORMATIONAL).strip().upper() != INFORMATIONAL


def _state(word: str, *, is_certain: bool) -> State:
    status = status_in(PAYMENT_STATUSES, word)
    if is_certain:
        return State(word, status, word)
    return State(f"{word} {INFORMATIONAL}", "unknown" if status == "unknown" else "pending", word)


def new_token(client: HttpClient, credentials: Mapping[str, str]) -> tuple[str, datetime | None]:
    """Fetch an access token by OAuth 2.0 client credentials; its end, as far as the answer or the token itself says it.

    Raises:
        BankError
    """
    path = str(client.options.get("token_path", options.TOKEN_PATH))
    answer = client.post_form(
        path,
        {
            "grant_type": "client_credentials",
            "client_id": credentials["client_id"],
            "client_secret": credentials["client_secret"],
        },
    )
    token = http.access_token(answer, "access_token", f"POST {path}")
    return token, _end(answer, token, client.clock())


def _end(fields: Mapping[str, Any], token: str, now: datetime) -> datetime | None:
    """Return when a token ends: by `expires_at` first, else by `expires_in`, else by the JWT's `exp` claim.

    The documents disagree on which of them an answer holds.
    """
    if found := json_values.read_time(json_values.text(fields, "expires_at") or ""):
        return found
    seconds = json_values.amount(fields, "expires_in")
    if seconds is not None and 0 < seconds < 10**9:
        return now + timedelta(seconds=float(seconds))
    return http.jwt_expiry(token)


def ask(client: HttpClient, _kind: str, payment_id: str, facts: Mapping[str, Any]) -> Answer:
    """Ask for the status of a payment in its space, which the source names, or else the messages about the payment.

    Raises:
        BankError
    """
    space = space_of(client.options, facts)
    if not space:
        raise NotOffered(NO_SPACE)
    path = f"/payments/v1/spaces/{urls.segment(str(space))}/payments/{urls.segment(payment_id)}"
    found = state(_data(lambda: client.get(path)), or_status=True)
    if found is None:
        raise AnswerUnreadable("the payment has neither `status.payment` nor `status`")
    return Answer(found.bank_status, found.status)


def space_of(given: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
    """Return a payment's space, by the source's options, or else by the messages about it; nothing where unknown."""
    return given.get("space") or facts.get("space_id")


def register(client: HttpClient, listener_url: str) -> str:
    """Register the message listener; return the extension's id, or the extension point's where it has none.

    Raises:
        BankError
    """
    points = _data(lambda: client.get(f"{EXTENSION_POINTS}{LISTENERS}"))
    point = json_values.first(points, "extensionPointId", "id")
    if point is None:
        raise AnswerUnreadable("the extension point of message listeners has no id")
    field = str(client.options.get("listener_field", options.LISTENER_FIELD))
    path = f"{EXTENSION_POINTS}/{urls.segment(point)}/extensions"
    try:
        answer = _explained(lambda: client.post(path, {field: listener_url}))
    except NothingShown:
        return point
    return (json_values.first(answer, "extensionId", "id") if isinstance(answer, dict) else None) or point


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
