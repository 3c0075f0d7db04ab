"""Payments: what callbacks claim, and what the bank's API says."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field, field_serializer

from receiver.store.payments import AGREEMENTS, EACH_ITEM, STATUSES, CheckRecord, NextCheck, SubjectRecord, items_of
from receiver.web.schemas.base import (
    PAGE,
    Agreement,
    Amount,
    Answer,
    LeftOut,
    Limit,
    ListPage,
    Path,
    PathText,
    Query,
    SourceName,
    Status,
    Time,
    Truth,
    left_out,
    one_of,
)


class PaymentQuery(Query):
    """Which payments to list."""

    source: list[SourceName] = Field(default_factory=list)
    """A source's name. Repeatable."""
    status: list[Annotated[Status, one_of(STATUSES)]] = Field(default_factory=list)
    """What the bank's API said. Repeatable."""
    agreement: list[Annotated[Agreement, one_of(AGREEMENTS)]] = Field(default_factory=list)
    """Whether that confirms what callbacks claimed. Repeatable."""
    stalled: LeftOut[Truth] = left_out()
    """`true`: only payments that have not come to an end for too long; `false`: only the others."""
    limit: Limit = Field(PAGE, examples=[10])
    """Payments in a page."""
    cursor: LeftOut[str] = left_out()
    """The `next` of the page before; repeat the filters with it."""


class PaymentPath(Path):
    """One payment."""

    source: Annotated[PathText, Field(examples=["bcb"])]
    """The source's name."""
    payment_id: Annotated[PathText, Field(examples=["FT2384654NXF6"])]
    """The bank's id of the payment."""


class Check(Answer):
    """A question to the bank, and its answer."""

    at: Time
    bank_status: str | None
    outcome: str
    """`answered`, or why there is no answer."""
    detail: dict[str, Any]

    @field_serializer("detail")
    def _without_items(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out each item of a job, which the job shows."""
        return {name: value for name, value in detail.items() if name != EACH_ITEM}


class Payment(Answer):
    """What is known of a payment, and every check made."""

    source: str
    payment_id: str = Field(validation_alias="subject")
    status: Status
    """What the bank's API said."""
    bank_status: str | None
    """The bank's own word."""
    agreement: Agreement
    """Whether the bank's API confirms what callbacks claimed."""
    claimed_status: Status | None
    amount: Amount | None
    currency: str | None
    returns: str | None
    """The id of the payment that this one returns."""
    returned_by: str | None
    """The id of the payment that returned this one; its own state stays as it was."""
    created_at: Time
    updated_at: Time
    next_check_at: Time | None = Field(validation_alias="due_at")
    """When the bank is asked next; null where the state is final, or where nobody can be asked for now."""
    stalled_at: Time | None
    """When it was found not to have come to an end for too long; null where it has, or is not known for so long."""
    checks: list[Check]
    """Oldest first."""

    @classmethod
    def listed(cls, payment: SubjectRecord, checks: Sequence[CheckRecord], following: NextCheck) -> Self:
        """Put a payment of a list and its checks together; `following` is when the bank is asked next."""
        return cls.model_validate({**payment._asdict(), "due_at": following.at, "checks": checks})


class PaymentInFull(Payment):
    """A payment with every check made, and why the bank is asked next when it is."""

    next_check_why: str
    """Why the bank is asked then, and not before; or why it is not asked any more."""

    @classmethod
    def made(cls, payment: SubjectRecord, checks: Sequence[CheckRecord], following: NextCheck) -> Self:
        """Put a payment and its checks together; `following` is when and why the bank is asked next."""
        fields = {**payment._asdict(), "due_at": following.at, "next_check_why": following.why}
        return cls.model_validate({**fields, "checks": checks})


class PaymentPage(ListPage):
    """Payments, the latest known first."""

    data: list[Payment]
    next: str | None
    """The cursor of the next page; null on the last one."""


class JobPath(Path):
    """One job."""

    source: Annotated[PathText, Field(examples=["bcb"])]
    """The source's name."""
    job_id: Annotated[PathText, Field(examples=["job-1"])]
    """The bank's id of the job."""


class JobItem(Answer):
    """What became of one item of a job."""

    index: int
    """Its place in the job, from 0."""
    status: str
    """`completed` or `failed`; `unknown` where its result tells neither."""
    http_status: int | None
    error: str | None
    result: Any
    """What the bank made of it; null where there is nothing, or too much of it."""


class Job(Answer):
    """What is known of a job."""

    source: str
    job_id: str = Field(validation_alias="subject")
    status: Status
    """What the bank's API said."""
    bank_status: str | None
    """The bank's own word."""
    agreement: Agreement
    claimed_status: Status | None
    created_at: Time
    updated_at: Time
    next_check_at: Time | None = Field(validation_alias="due_at")
    """When the bank is asked next; null where the state is final, or where nobody can be asked for now."""
    stalled_at: Time | None
    """When it was found not to have come to an end for too long; null where it has, or is not known for so long."""

    @classmethod
    def listed(cls, job: SubjectRecord, following: NextCheck) -> Self:
        """Show a job of a list; `following` is when the bank is asked next."""
        return cls.model_validate({**job._asdict(), "due_at": following.at})


class JobWithItems(Job):
    """A job with every item and every check made."""

    next_check_why: str
    """Why the bank is asked then, and not before; or why it is not asked any more."""
    failed: int | None
    """How many items failed; null before the bank has told."""
    items: list[JobItem]
    """In the order of the job; none before it has ended."""
    checks: list[Check]
    """Oldest first."""

    @classmethod
    def made(cls, job: SubjectRecord, checks: Sequence[CheckRecord], following: NextCheck) -> Self:
        """Put a job, its checks and what they tell of its items together; `following` is when it is asked for next."""
        items = [JobItem(**item) for item in items_of(checks)]
        failed = sum(item.status == "failed" for item in items) if items else None
        fields = {**dict(Job.listed(job, following)), "next_check_why": following.why}
        return cls(**fields, failed=failed, items=items, checks=[Check.of(check) for check in checks])
