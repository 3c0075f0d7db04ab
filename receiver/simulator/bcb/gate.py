"""Lets a request in: the limit on requests, the bearer token, the caller's address, the permission."""

from flask import g, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import error_answer, rate_limit_answer
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
    if client is None or not client.is_active:
        raise unauthorised()
    if not client.admits(address):
        raise BankRefusal(403, "Forbidden", "IP address not allowed")
    g.grant = grant


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
