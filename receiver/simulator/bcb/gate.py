"""Lets a request in: the limit on requests, the bearer token, the caller's address, the permission."""

from flask import g, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import error_answer, rate_limit_answer
from receiver.simulator.bcb.clients import Client
from receiver.simulator.bcb.refusals import BankRefusal, TooManyRequests, unauthorised
from receiver.simulator.bcb.tokens import Grant
from receiver.simulator.parts import parts


def enter() -> None:
    """Check a request before any endpoint sees it; requests count by client, those without a good token by address.

    Raises:
        BankRefusal: 401, 403 or 429.
    """
    bank = parts().bank
    address = request.remote_addr or "127.0.0.1"
    grant = bank.tokens.grant(_bearer())
    wait = bank.requests_limit.take(grant.client_id if grant else address)
    if wait is not None:
        raise TooManyRequests(wait)
    if request.endpoint == "bcb.token":
        return
    client = bank.clients.get(grant.client_id) if grant else None
    if client is None or grant is None or not (_is_good(grant, client) or _asks_once_more()):
        raise unauthorised()
    if not client.admits(address):
        raise BankRefusal(403, "Forbidden", "IP address not allowed")
    g.grant = grant


def call() -> str:
    """Return what the current request asks for, as far as idempotency keys go."""
    return f"{request.method} {request.path}"


def idempotency_key() -> str | None:
    """Return the current request's `Idempotency-Key`."""
    return request.headers.get("Idempotency-Key")


def _is_good(grant: Grant, client: Client) -> bool:
    outlived = grant.generation == client.generation or parts().bank.credentials.old_tokens == "kept"
    return client.is_active and outlived


def _asks_once_more() -> bool:
    """A token from before a rotation may still ask for what was answered then, unless the bank is told otherwise."""
    desk = parts().bank.credentials
    return desk.old_tokens != "revoked" and desk.has_answer(call(), idempotency_key())


def caller() -> str:
    """Return the id of the client that sent the current request."""
    grant: Grant = g.grant
    return grant.client_id


def need(permission: str) -> None:
    """Check that the token carries a permission; it was fixed when the token was issued.

    Raises:
        BankRefusal: 403.
    """
    grant: Grant = g.grant
    if permission not in grant.permissions:
        raise BankRefusal(403, "Forbidden", f"The permission {permission} is missing")


def answer(refusal: BankRefusal) -> Response:
    """Turn a refusal into the bank's answer."""
    bank = parts().bank
    shape = bank.config.error_shape
    if isinstance(refusal, TooManyRequests):
        return rate_limit_answer(refusal.seconds, bank.clock(), shape)
    return error_answer(refusal.status, refusal.error, refusal.message, shape)


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
