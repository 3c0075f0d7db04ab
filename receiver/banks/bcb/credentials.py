"""BCB's credentials API: every call needs the permission `manage-credentials`, every secret is shown once."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from receiver.banks import json_values, urls
from receiver.banks.abilities import AddressesWrong, NewCredentials, Permission
from receiver.banks.errors import AnswerUnreadable
from receiver.banks.http import HttpClient

MANAGE = "manage-credentials"

NEEDED: Mapping[str, str] = {
    "get-payment-status": "payments are checked with it",
    "get-transactions": "deposits whose callback never came are found with it",
    "get-all-accounts": "the accounts are listed with it whose transactions are looked through",
    MANAGE: "credentials are rotated, and these permissions looked up, with it",
}

SECRET_CHARACTERS_MAX = 4096


def check_addresses(text: str) -> str:
    """Return the allow-list `allowedIps` as it is sent: comma-separated addresses and CIDR ranges, or `*` for all.

    Raises:
        AddressesWrong
    """
    parts = [part.strip() for part in text.split(",")]
    if parts == ["*"]:
        return "*"
    for part in parts:
        _check_address(part)
    return ",".join(parts)


def _check_address(text: str) -> None:
    if text == "*":
        raise AddressesWrong("* means all addresses, so it stands alone")
    try:
        if "/" not in text:
            ip_address(text)
            return
        network = ip_network(text, strict=False)
    except ValueError:
        raise AddressesWrong(f"{text!r} is neither an IP address, nor a CIDR range, nor *") from None
    if network != _as_written(text):
        raise AddressesWrong(
            f"{text} has bits behind its prefix: the range is {network}, the address {text.split('/')[0]}"
        )


def _as_written(text: str) -> Any:
    try:
        return ip_network(text)
    except ValueError:
        return None


def create(client: HttpClient, key: str, allowed_ips: str | None) -> NewCredentials:
    """Make a new API client: `POST /v1/credentials`.

    Raises:
        BankError
    """
    body = {} if allowed_ips is None else {"allowedIps": allowed_ips}
    return _new("POST /v1/credentials", client.send("POST", "/v1/credentials", body, idempotency_key=key))


def rotate(client: HttpClient, key: str, client_id: str) -> NewCredentials:
    """Replace both secrets of a client, whose old ones die at once: `PATCH /v1/credentials/{clientId}`.

    Raises:
        BankError
    """
    found = _new("PATCH", client.send("PATCH", _path(client_id), idempotency_key=key))
    if found.client_id != client_id:
        raise AnswerUnreadable("PATCH: the answer is about another client")
    return found


def disable(client: HttpClient, key: str, client_id: str) -> None:
    """Disable a client for good: `DELETE /v1/credentials/{clientId}`; whatever comes with 2xx, it is disabled.

    Raises:
        BankError
    """
    client.send("DELETE", _path(client_id), idempotency_key=key, wants_json=False)


def permissions(client: HttpClient, client_id: str) -> Sequence[Permission]:
    """Return what a client may do, by key: `GET /v1/credentials/{clientId}/permissions`.

    Raises:
        BankError
    """
    answer = client.get(f"{_path(client_id)}/permissions")
    listed = answer.get("data") if isinstance(answer, dict) else answer
    if not isinstance(listed, list):
        raise AnswerUnreadable("the permissions are no list")
    found = [
        Permission(key, json_values.text(entry, "description") or "")
        for entry in json_values.objects(listed)
        if (key := json_values.text(entry, "key"))
    ]
    return sorted(found, key=lambda permission: permission.key)


def _path(client_id: str) -> str:
    return f"/v1/credentials/{urls.segment(client_id)}"


def _new(call: str, answer: Any) -> NewCredentials:
    fields = answer if isinstance(answer, dict) else {}
    client_id, client_secret = json_values.text(fields, "clientId"), _secret(fields, "clientSecret")
    if client_id is None or client_secret is None:
        raise AnswerUnreadable(f"{call}: no credentials in the answer")
    return NewCredentials(client_id, client_secret, _secret(fields, "messageSigningSecret"))


def _secret(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    is_usable = isinstance(value, str) and 0 < len(value) <= SECRET_CHARACTERS_MAX and value.isprintable()
    return str(value) if is_usable else None
