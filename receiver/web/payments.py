"""`/api/v1/payments`: what is known of each payment, and every check made."""

from receiver.feed.cursors import Cursors
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import payments
from receiver.store.api_tokens import TokenRecord
from receiver.web import auth
from receiver.web.operation import Operation
from receiver.web.problems import Problem
from receiver.web.schemas.payments import Payment, PaymentPage, PaymentPath, PaymentQuery, PaymentWithChecks


class Payments:
    """The views of payments."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._database = runtime.database
        self._cursors = Cursors(runtime.settings.keys, "payments")

    @Operation("GET /api/v1/payments", scope="payments:read", query=PaymentQuery, answers={200: PaymentPage})
    def list_payments(self, token: TokenRecord, query: PaymentQuery) -> PaymentPage:
        """Payments, the latest known first."""
        below = self._cursors.read_number(query.cursor) if query.cursor else None
        names = auth.visible_sources(token, query.source)
        catch_up(self._database)
        with self._database.read() as connection:
            found = payments.listing(
                connection,
                "payment",
                names=names,
                statuses=query.status,
                agreements=query.agreement,
                below=below,
                limit=query.limit + 1,
            )
        following = self._cursors.make(found[query.limit - 1].id) if len(found) > query.limit else None
        return PaymentPage(data=[Payment.of(payment) for payment in found[: query.limit]], next=following)

    @Operation(
        "GET /api/v1/payments/<source>/<path:payment_id>",
        scope="payments:read",
        path=PaymentPath,
        answers={200: PaymentWithChecks},
        problems={404: "There is no such payment, or the token may not see it."},
    )
    def show_payment(self, source: str, payment_id: str, token: TokenRecord) -> PaymentWithChecks:
        """One payment with every check made."""
        catch_up(self._database)
        with self._database.read() as connection:
            found = payments.find(connection, source, "payment", payment_id) if auth.may_see(token, source) else None
            checks = payments.checks_of(connection, found.id) if found else []
        if found is None:
            raise Problem(404, "There is no such payment.")
        return PaymentWithChecks.made(found, checks)
