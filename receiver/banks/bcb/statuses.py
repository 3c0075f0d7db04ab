"""BCB's words for states, and ours. What is not listed is `unknown`, which is not final."""

PAYMENT_STATUSES = {
    "pending": "pending",
    "inprogress": "pending",
    "processing": "pending",
    "completed": "completed",
    "reversed": "reversed",
    "rejected": "rejected",
    "failed": "rejected",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "returned": "returned",
}
"""`Pending`, `Completed` and `Reversed` are documented, as examples; the others are plain words for the rest."""

JOB_STATUSES = {
    "pending": "pending",
    "inprogress": "pending",
    "completed": "completed",
    "completedwitherrors": "completed",
    "cancelled": "cancelled",
}
"""All that is documented. `CompletedWithErrors` has come to its end; its results say which items failed."""


def payment_status(bank_status: str) -> str:
    """Return our word for a payment's state."""
    return PAYMENT_STATUSES.get(bank_status.strip().lower(), "unknown")


def job_status(bank_status: str) -> str:
    """Return our word for a job's state."""
    return JOB_STATUSES.get(bank_status.strip().lower(), "unknown")
