"""`/api/v1/payments`: what is known of each payment, and every check made."""

from flask import Blueprint, Response, jsonify, request

from receiver import representations
from receiver.feed.cursors import Cursors
from receiver.runtime import Runtime
from receiver.store import payments
from receiver.store.payments import AGREEMENTS, STATUSES
from receiver.web import auth, parameters, schemas
from receiver.web.describing import Description, choice, cursor, describes, number, part, shows, texts
from receiver.web.problems import Problem

PAGE = 100
PAGE_MAX = 1000

LIST = Description(
    scope="payments:read",
    query=(
        texts("source", "A source's name."),
        choice("status", "What the bank's API said.", STATUSES),
        choice("agreement", "Whether that confirms what callbacks claimed.", AGREEMENTS),
        number("limit", "Payments in a page.", PAGE, 1, PAGE_MAX, 10),
        cursor("cursor", "The `next` of the page before; repeat the filters with it."),
    ),
    answers={200: shows(schemas.PaymentPage)},
)
SHOW = Description(
    scope="payments:read",
    path=(
        part("source", "The source's name.", "bcb"),
        part("payment_id", "The bank's id of the payment.", "FT2384654NXF6"),
    ),
    answers={200: shows(schemas.PaymentWithChecks)},
    problems={404: "There is no such payment, or the token may not see it."},
)


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the routes over a process's parts."""
    routes = Blueprint("payments", __name__, url_prefix="/api/v1/payments")
    cursors = Cursors(runtime.settings.keys, "payments")

    @routes.get("")
    @describes(LIST)
    def list_payments() -> Response:
        """Payments, the latest known first."""
        token = auth.require(runtime, "payments:read")
        limit = parameters.number("limit", PAGE, 1, PAGE_MAX)
        given = request.args.get("cursor")
        with runtime.database.read() as connection:
            rows = payments.listing(
                connection,
                "payment",
                names=auth.visible_sources(token, parameters.texts("source")),
                status=parameters.choice("status", STATUSES),
                agreement=parameters.choice("agreement", AGREEMENTS),
                below=cursors.read_number(given) if given else None,
                limit=limit + 1,
            )
        following = cursors.make(rows[limit - 1].id) if len(rows) > limit else None
        return jsonify({"data": [representations.subject(row) for row in rows[:limit]], "next": following})

    @routes.get("/<source>/<path:payment_id>")
    @describes(SHOW)
    def show_payment(source: str, payment_id: str) -> Response:
        """One payment with every check made."""
        token = auth.require(runtime, "payments:read")
        source, payment_id = parameters.path_part(source), parameters.path_part(payment_id)
        with runtime.database.read() as connection:
            row = payments.find(connection, source, "payment", payment_id) if auth.may_see(token, source) else None
            checks = payments.checks_of(connection, row.id) if row else []
        if row is None:
            raise Problem(404, "There is no such payment.")
        return jsonify(representations.subject(row, checks))

    return routes
