"""`/api/v1/payments`: what is known of each payment, and every check made."""

from flask import Blueprint, Response, jsonify, request

from receiver import representations
from receiver.banks.bank import STATUSES
from receiver.runtime import Runtime
from receiver.store import subjects
from receiver.web import auth, parameters
from receiver.web.cursors import Cursors
from receiver.web.problems import Problem

PAGE = 100
PAGE_MAX = 1000
AGREEMENTS = ("unconfirmed", "confirmed", "contradicted", "unknown_to_bank")


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the routes over a process's parts."""
    routes = Blueprint("payments", __name__, url_prefix="/api/v1/payments")
    cursors = Cursors(runtime.settings.keys, "payments")

    @routes.get("")
    def list_payments() -> Response:
        """Payments, the latest known first."""
        token = auth.require(runtime, "payments:read")
        limit = parameters.number("limit", PAGE, 1, PAGE_MAX)
        cursor = request.args.get("cursor")
        with runtime.database.read() as connection:
            rows = subjects.listing(
                connection,
                "payment",
                sources=auth.visible_sources(token, parameters.texts("source")),
                status=parameters.choice("status", STATUSES),
                agreement=parameters.choice("agreement", AGREEMENTS),
                below=cursors.read_number(cursor) if cursor else None,
                limit=limit + 1,
            )
        following = cursors.make(rows[limit - 1].id) if len(rows) > limit else None
        return jsonify({"data": [representations.subject(row) for row in rows[:limit]], "next": following})

    @routes.get("/<source>/<path:payment_id>")
    def show_payment(source: str, payment_id: str) -> Response:
        """One payment with every check made."""
        token = auth.require(runtime, "payments:read")
        source, payment_id = parameters.path_part(source), parameters.path_part(payment_id)
        with runtime.database.read() as connection:
            row = subjects.find(connection, source, "payment", payment_id) if auth.may_see(token, source) else None
            checks = subjects.checks_of(connection, row.id) if row else []
        if row is None:
            raise Problem(404, "There is no such payment.")
        return jsonify(representations.subject(row, checks))

    return routes
