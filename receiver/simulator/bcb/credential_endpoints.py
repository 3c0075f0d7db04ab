"""The bank's endpoints for credentials.

Where the sheet is silent: a client's creation is answered 201; a key that is no UUID, or an allow-list that is none,
400; rotating a disabled client 409; all clients belong to the one user, for whom keys are kept; a new client has the
permissions of the one that made it; callbacks go on being signed for the client that the bank was started with.
"""

import uuid
from collections.abc import Callable
from ipaddress import ip_network

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.bcb import gate
from receiver.simulator.bcb.bodies import read_object
from receiver.simulator.bcb.clients import Client
from receiver.simulator.bcb.credentials import Stored, shown
from receiver.simulator.bcb.refusals import BankRefusal, not_found
from receiver.simulator.parts import parts

NEEDED = "manage-credentials"


def add_to(blueprint: Blueprint) -> None:
    """Add the endpoints to the bank's blueprint."""
    blueprint.add_url_rule("/v1/credentials", view_func=create_credentials, methods=["POST"])
    blueprint.add_url_rule("/v1/credentials/<client_id>", view_func=rotate_credentials, methods=["PATCH"])
    blueprint.add_url_rule("/v1/credentials/<client_id>", view_func=disable_credentials, methods=["DELETE"])
    blueprint.add_url_rule("/v1/credentials/<client_id>/permissions", view_func=permissions)


def create_credentials() -> Response:
    """`POST /v1/credentials` `{"allowedIps"?}`: a new client, its secrets shown for this once."""
    gate.need(NEEDED)
    allowed = _allowed_ips()

    def make() -> Stored:
        bank = parts().bank
        client = Client.new(allowed, bank.clients[gate.caller()])
        bank.replace_client(client)
        bank.credentials.done["created"] += 1
        return 201, shown(client)

    return _answered(make)


def rotate_credentials(client_id: str) -> Response:
    """`PATCH /v1/credentials/{clientId}`: new secrets; the old ones die at once."""
    gate.need(NEEDED)

    def make() -> Stored:
        bank = parts().bank
        client = _client(client_id)
        if not client.is_active:
            raise BankRefusal(409, "Conflict", "The client is disabled")
        bank.replace_client(client.rotated())
        bank.credentials.done["rotated"] += 1
        return 200, shown(bank.clients[client_id])

    return _answered(make)


def disable_credentials(client_id: str) -> Response:
    """`DELETE /v1/credentials/{clientId}`; again is no error."""
    gate.need(NEEDED)

    def make() -> Stored:
        bank = parts().bank
        client = _client(client_id)
        bank.replace_client(client.disabled())
        bank.credentials.done["disabled"] += client.is_active
        return 200, shown(bank.clients[client_id], secrets=False)

    return _answered(make)


def permissions(client_id: str) -> Response:
    """`GET /v1/credentials/{clientId}/permissions`: `[{key, description}]`, sorted by key."""
    gate.need(NEEDED)
    keys = sorted(_client(client_id).permissions)
    return json_answer([{"key": key, "description": f"May {key.replace('-', ' ')}"} for key in keys])


def _answered(make: Callable[[], Stored]) -> Response:
    key = gate.idempotency_key()
    if key is not None:
        try:
            uuid.UUID(key)
        except ValueError:
            raise BankRefusal(400, "Bad request", "Idempotency-Key must be a UUID") from None
    status, body = parts().bank.credentials.answer(gate.call(), key, make)
    return json_answer(body, status)


def _client(client_id: str) -> Client:
    found = parts().bank.clients.get(client_id)
    if found is None:
        raise not_found("Client")
    return found


def _allowed_ips() -> str | None:
    given = read_object().get("allowedIps") if request.get_data() else None
    if given is None or given in ("", "*"):
        return None if given is None else str(given)
    if not isinstance(given, str) or not all(_is_range(part) for part in given.split(",")):
        raise BankRefusal(400, "Bad request", "allowedIps must be comma-separated addresses and CIDR ranges")
    return given


def _is_range(text: str) -> bool:
    try:
        ip_network(text.strip(), strict=False)
    except ValueError:
        return False
    return True
