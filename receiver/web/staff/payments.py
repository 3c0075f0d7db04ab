"""Payments and jobs: what callbacks claim and what the bank answers; ask the bank now."""

from typing import Any

from flask import Response

from receiver.admin import payments as acts
from receiver.admin import search
from receiver.admin.names import Names
from receiver.admin.sessions import Visitor
from receiver.model import Agreement, Role, Status, SubjectKind
from receiver.runtime import Runtime
from receiver.store.payments import items_of
from receiver.web.staff import lists
from receiver.web.staff.events import shown_to
from receiver.web.staff.forms import field
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import render, url
from receiver.web.staff.sources import names

STATUSES = tuple(map(str, Status))
AGREEMENTS = tuple(map(str, Agreement))


class Payments:
    """The views of payments and jobs."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    @Page("GET /payments")
    def payments(self, visitor: Visitor) -> Response:
        """List payments, the latest known first."""
        return self._list(visitor, SubjectKind.PAYMENT, "Payments")

    @Page("GET /jobs")
    def jobs(self, visitor: Visitor) -> Response:
        """List jobs, the latest known first."""
        return self._list(visitor, SubjectKind.JOB, "Jobs")

    def _list(self, visitor: Visitor, kind: SubjectKind, title: str) -> Response:
        chosen = lists.several("source")
        Names(self._runtime.database).check_all("source", chosen)
        below = lists.number("below")
        rows = acts.listing(
            self._runtime,
            kind,
            names=chosen,
            statuses=lists.several("status", STATUSES),
            agreements=lists.several("agreement", AGREEMENTS),
            stalled=lists.truth("stalled"),
            below=below,
            limit=lists.PAGE + 1,
        )
        return render(
            "payments.html",
            title,
            fragment="found",
            kind=str(kind),
            rows=rows[: lists.PAGE],
            next_check=acts.next_checks(self._runtime),
            following=lists.following(rows, lambda row: row.id),
            below=below,
            chips=lists.chips("source", "status", "agreement", "stalled"),
            statuses=STATUSES,
            agreements=AGREEMENTS,
            sources=names(self._runtime),
            may_act=visitor.may(Role.OPERATOR),
        )

    @Page("GET /payments/<source>/<path:payment_id>")
    def payment(self, visitor: Visitor, source: str, payment_id: str) -> Response:
        """Show a payment with every check, and the events about it."""
        return self._show(visitor, source, payment_id, SubjectKind.PAYMENT)

    @Page("GET /jobs/<source>/<path:job_id>")
    def job(self, visitor: Visitor, source: str, job_id: str) -> Response:
        """Show a job with every item and every check."""
        return self._show(visitor, source, job_id, SubjectKind.JOB)

    def _show(self, visitor: Visitor, source: str, subject: str, kind: SubjectKind) -> Response:
        found, checks, following = acts.with_checks(self._runtime, source, subject, kind)
        around = acts.around(self._runtime, found)
        shown = checks if visitor.payloads else [each._replace(detail=search.masked_detail(each)) for each in checks]
        shared: dict[str, Any] = {"checks": shown, "items": items_of(checks), "exceptions": around.exceptions}
        return render(
            "payment.html",
            f"{str(kind).capitalize()} {subject}",
            fragment=("bank", "needs", "checks"),
            kind=str(kind),
            found=found,
            following=following,
            events=shown_to(visitor, around.events),
            may_act=visitor.may(Role.OPERATOR),
            **shared,
        )

    @Page("POST /payments/<source>/<path:payment_id>/check", role=Role.OPERATOR)
    def check_payment(self, visitor: Visitor, source: str, payment_id: str) -> Response:
        """Ask the bank about a payment now."""
        return self._check(visitor, source, payment_id, SubjectKind.PAYMENT)

    @Page("POST /jobs/<source>/<path:job_id>/check", role=Role.OPERATOR)
    def check_job(self, visitor: Visitor, source: str, job_id: str) -> Response:
        """Ask the bank about a job now."""
        return self._check(visitor, source, job_id, SubjectKind.JOB)

    @Page("POST /payments/check", role=Role.OPERATOR)
    def check_any(self, visitor: Visitor) -> Response:
        """Ask the bank about a payment that no callback need have named."""
        source, payment_id = field("source"), field("payment_id", most=acts.ID_CHARACTERS_MAX)
        # Where it was not asked there may be no page of the payment.
        return self._check(visitor, source, payment_id, SubjectKind.PAYMENT, back_undone=url("payments"))

    def _check(
        self, visitor: Visitor, source: str, subject: str, kind: SubjectKind, back_undone: str | None = None
    ) -> Response:
        return done(
            lambda: acts.check(self._runtime, visitor.who, source, subject, kind),
            url(f"{kind}s", source, subject),
            "The bank was asked: its answer is the last of the checks.",
            back_undone=back_undone,
        )
