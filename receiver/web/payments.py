"""`/api/v1/payments` and `/api/v1/jobs`: what is known of each payment or job, and every check made."""

from receiver.admin import payments as acts
from receiver.feed.cursors import Cursors
from receiver.model import NotFound, SourceNotThere, SubjectKind
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import payments
from receiver.store.api_tokens import TokenRecord
from receiver.store.payments import CheckRecord, NextCheck, SubjectRecord
from receiver.web import auth
from receiver.web.operation import Operation
from receiver.web.problems import Problem, sentence
from receiver.web.schemas.payments import (
    JobPath,
    JobWithItems,
    Payment,
    PaymentInFull,
    PaymentPage,
    PaymentPath,
    PaymentQuery,
)


class Payments:
    """The views of payments."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime
        self._database = runtime.database
        self._cursors = Cursors(runtime.settings.keys, "payments")

    @Operation("GET /api/v1/payments", scope="payments:read", query=PaymentQuery, answers={200: PaymentPage})
    def list_payments(self, token: TokenRecord, query: PaymentQuery) -> PaymentPage:
        """Payments, the latest known first; fewer in a page where these have thousands of checks together."""
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
                stalled=query.stalled,
                below=below,
                limit=query.limit + 1,
            )
            checks = payments.checks_of_each(connection, [payment.id for payment in found[: query.limit]])
        following = acts.next_checks(self._runtime)
        data = [Payment.listed(payment, made, following(payment)) for payment, made in zip(found, checks, strict=False)]
        cursor = self._cursors.make(found[len(data) - 1].id) if len(found) > len(data) else None
        return PaymentPage(data=data, next=cursor)

    @Operation(
        "GET /api/v1/payments/<source>/<path:payment_id>",
        scope="payments:read",
        path=PaymentPath,
        answers={200: PaymentInFull},
        problems={404: "There is no such payment, or the token may not see it."},
    )
    def show_payment(self, source: str, payment_id: str, token: TokenRecord) -> PaymentInFull:
        """One payment with every check made."""
        return self._payment(source, payment_id, token)

    @Operation(
        "POST /api/v1/payments/<source>/<path:payment_id>/check",
        scope="payments:check",
        path=PaymentPath,
        answers={200: PaymentInFull},
        problems={
            404: "There is no such source, or the token may not see it.",
            409: "The bank was not asked; `detail` says why.",
        },
    )
    def check_payment(self, source: str, payment_id: str, token: TokenRecord) -> PaymentInFull:
        """Ask the bank about a payment now, also about one that no callback named; the audit log notes it."""
        if not auth.may_see(token, source):
            raise Problem(404, "There is no such source.")
        try:
            acts.check(self._runtime, f"token:{token.name}", source, payment_id)
        except NotFound as error:
            raise Problem(404, sentence(error)) from error
        return self._payment(source, payment_id, token)

    @Operation(
        "GET /api/v1/jobs/<source>/<path:job_id>",
        scope="payments:read",
        path=JobPath,
        answers={200: JobWithItems},
        problems={404: "There is no such job, or the token may not see it."},
    )
    def show_job(self, source: str, job_id: str, token: TokenRecord) -> JobWithItems:
        """One job with every item, and every check made."""
        return JobWithItems.made(*self._found(source, job_id, token, SubjectKind.JOB))

    def _payment(self, source: str, payment_id: str, token: TokenRecord) -> PaymentInFull:
        return PaymentInFull.made(*self._found(source, payment_id, token, SubjectKind.PAYMENT))

    def _found(
        self, source: str, subject: str, token: TokenRecord, kind: SubjectKind
    ) -> tuple[SubjectRecord, list[CheckRecord], NextCheck]:
        try:
            if auth.may_see(token, source):
                return acts.with_checks(self._runtime, source, subject, kind)
        except SourceNotThere as error:
            raise Problem(404, sentence(error)) from error
        except NotFound as error:
            raise Problem(404, f"There is no such {kind}.") from error
        raise Problem(404, f"There is no such {kind}.")
