"""Reads what the control endpoints are told to do; every function raises `BadFieldError` on bad input."""

from collections.abc import Sequence
from datetime import datetime

from receiver.simulator.bcb.deposits import Deposit
from receiver.simulator.bcb.dispatches import VARIANTS, Dispatch
from receiver.simulator.bcb.jobs import ItemResult, Job, JobPlan, results
from receiver.simulator.bcb.payments import DIRECTIONS, Payment
from receiver.simulator.bcb.sender import CONTENT_ENCODINGS, STALE_SECONDS, SendOptions
from receiver.simulator.config import EXAMPLE_ACCOUNT, METHODS
from receiver.simulator.fields import BadFieldError, Fields

ITEMS_MAX = 1000


def deposit(fields: Fields, transaction_id: str, known: Payment | None) -> Deposit:
    """Take a deposit's fields; what is left out is as in the payment known so far, else as in the sheet's example."""
    return Deposit(
        transaction_id=transaction_id,
        account=fields.text("account", known.account if known else EXAMPLE_ACCOUNT),
        amount=fields.amount("amount", f"{known.amount:f}" if known else "1000.00"),
        currency=fields.text("currency", known.currency if known else "USD"),
        direction=fields.choice("direction", DIRECTIONS, known.direction if known else "Credit"),
        kind=fields.text("type", known.kind if known else "Swift payment"),
        details=fields.text("details", known.details if known else "Payment details"),
    )


def dispatch(fields: Fields, bank_options: SendOptions) -> tuple[Dispatch, bool]:
    """Take the fields of a sending; the second value tells whether to wait for its outcome."""
    variant = fields.choice("variant", VARIANTS, "genuine")
    delays = fields.seconds_list("delays")
    patience: Sequence[float] = bank_options.delays if variant == "genuine" else ()
    options = SendOptions(
        content_encoding=fields.choice("contentEncoding", CONTENT_ENCODINGS) if "contentEncoding" in fields else None,
        custom_headers=fields.headers("customHeaders"),
        fresh_each_try=fields.flag("freshEachTry", default=bank_options.fresh_each_try),
        delays=patience if delays is None else delays,
    )
    signed_path = fields.text("signedPath") if "signedPath" in fields else None
    if signed_path is not None and not signed_path.startswith("/"):
        raise BadFieldError("signedPath must start with /")
    sending = Dispatch(
        variant=variant,
        url=fields.url("url") if "url" in fields else None,
        method=fields.choice("method", METHODS) if "method" in fields else None,
        signed_path=signed_path,
        age_seconds=fields.number("ageSeconds", STALE_SECONDS),
        options=options,
    )
    return sending, fields.flag("wait", default=True)


def job_plan(fields: Fields, known: JobPlan) -> JobPlan:
    """Take the fields of a plan; what is left out is as in the plan known so far, but for the number of failures."""
    return JobPlan(
        script=fields.script("script") or known.script,
        failed=fields.whole("failed", None, ITEMS_MAX),
        result_as_text=fields.flag("resultAsText", default=known.result_as_text),
        method=fields.choice("method", METHODS, known.method),
    )


def job(fields: Fields, job_id: str, known: JobPlan, started: datetime) -> Job:
    """Take the fields of a job that starts at `started` (UTC)."""
    plan = job_plan(fields, known)
    total = fields.whole("total", 1, ITEMS_MAX) or 0
    given = _results(fields.anything("results"))
    return Job(
        job_id,
        plan,
        results(total, plan) if given is None else given,
        started,
        fields.url("callbackUrl") if "callbackUrl" in fields else None,
        fields.headers("customHeaders"),
    )


def _results(value: object) -> tuple[ItemResult, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > ITEMS_MAX:
        raise BadFieldError(f"results must be a list of at most {ITEMS_MAX} objects")
    return tuple(_result(entry) for entry in value)


def _result(entry: object) -> ItemResult:
    if not isinstance(entry, dict) or not entry.keys() <= {"httpStatus", "error", "resultJson"}:
        raise BadFieldError("results: each entry is an object of httpStatus, error and resultJson")
    status, error = entry.get("httpStatus"), entry.get("error")
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise BadFieldError("results: httpStatus must be a whole number from 100 to 599")
    if error is not None and not isinstance(error, str):
        raise BadFieldError("results: error must be a string or null")
    return ItemResult(status, error, entry.get("resultJson"))
