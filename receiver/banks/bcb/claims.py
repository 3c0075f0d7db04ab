"""What BCB's callbacks tell: deposits, and jobs that have come to an end."""

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.banks import payload
from receiver.banks.bank import Claim
from receiver.banks.bcb.statuses import JOB_STATUSES
from receiver.banks.payload import NotUnderstood


def read(body: bytes) -> Sequence[Claim]:
    """Return the claim in a genuine body.

    Raises:
        NotUnderstood
    """
    fields = payload.parse_object(body)
    claim = _deposit(fields) or _job(fields)
    if claim is None:
        raise NotUnderstood("neither a deposit notification nor a job's state")
    return [claim]


def _deposit(fields: Mapping[str, Any]) -> Claim | None:
    """A credit or debit on an account. It has no id of its own.

    The subscription is left out of the identity, so that a renewed one does not tell the same deposit twice; the
    amount is in it, because the fees of an operation share all the rest. The notification names no status: that it
    is sent at all is taken as the claim that the deposit is complete (deduced, not documented).
    """
    topic, transaction = payload.text(fields, "topic"), payload.text(fields, "transactionId")
    if topic is None or topic.lower() != "deposits" or transaction is None:
        return None
    value = payload.inner(fields, "value")
    amount = payload.amount(value, "amount")
    currency = payload.text(value, "currency")
    account, direction = payload.text(fields, "accountNumber"), payload.text(fields, "type")
    content = {name: content for name, content in fields.items() if name != "subscriptionId"}
    return Claim(
        type="bcb.deposit",
        identity=(
            "deposit",
            account or "",
            transaction,
            direction or "",
            payload.shortest_decimal_text(amount),
            currency or "",
        ),
        content=payload.canonical(content),
        kind="payment",
        subject=transaction,
        payment_id=transaction,
        status="completed",
        amount=amount,
        currency=currency,
        facts=_present(
            account_number=account,
            direction=direction,
            transaction_type=payload.text(fields, "transactionType"),
            subscription_id=payload.text(fields, "subscriptionId"),
        ),
    )


def _job(fields: Mapping[str, Any]) -> Claim | None:
    """A background job's state; field names are deduced from the job's entry in the API, in either spelling."""
    job = payload.text(fields, "jobId", "JobId")
    bank_status = payload.text(fields, "jobStatus", "JobStatus", "status", "Status")
    if job is None or bank_status is None:
        return None
    summary = payload.inner(fields, "summary") or payload.inner(fields, "Summary")
    counts = {
        name: number
        for name in ("total", "completed", "failed")
        if (number := payload.whole_number(summary, name)) is not None
    }
    return Claim(
        type=f"bcb.job.{_word(bank_status)}",
        identity=("job", job, bank_status.lower()),
        content=payload.canonical(fields),
        kind="job",
        subject=job,
        status=JOB_STATUSES.get(bank_status.lower(), "unknown"),
        facts=_present(job_status=bank_status, summary=counts or None),
    )


def _word(bank_status: str) -> str:
    """Write `CompletedWithErrors` as `completed_with_errors`; what is not plain letters as `status_changed`."""
    if not (bank_status.isascii() and bank_status.isalpha()) or len(bank_status) > 40:
        return "status_changed"
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in bank_status).lstrip("_")


def _present(**facts: Any) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if fact is not None}
