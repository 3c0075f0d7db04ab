"""Control endpoints of BCB, under `/_simulator`; docs/simulator.md lists them."""

import secrets
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from werkzeug.wrappers import Response

from receiver.simulator.bcb.bank import OTHER_BODY, bank
from receiver.simulator.bcb.callbacks import STALE_SECONDS, ContentEncoding, SignedMessage, Variant
from receiver.simulator.bcb.clients import OldTokens
from receiver.simulator.bcb.config import EXAMPLE_ACCOUNT, Method
from receiver.simulator.bcb.credentials import not_found
from receiver.simulator.bcb.payments import Direction, Entry, ItemResult, Job, JobPlan, Payment
from receiver.simulator.control import SendingBody, control_blueprint, send
from receiver.simulator.json_bodies import (
    Amount,
    Body,
    Headers,
    Seconds,
    StatusScript,
    Text,
    Texts,
    Time,
    Url,
    json_answer,
    read_body,
)

EXAMPLE_AMOUNT = Decimal("1000.00")
ITEMS_MAX = 1000

blueprint = control_blueprint("bcb_control")


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("must start with /")
    return path


class SignedSendingBody(SendingBody):
    """How a callback is sent and signed."""

    variant: Variant = "genuine"
    method: Method | None = None
    signed_path: Annotated[Text, AfterValidator(_path)] | None = None
    age_seconds: Seconds = STALE_SECONDS
    content_encoding: ContentEncoding | None = None
    custom_headers: Headers = Field(default={})
    fresh_each_try: bool | None = None

    def signed(self) -> dict[str, Any]:
        """Return the fields of the message about its signature."""
        names = ("method", "signed_path", "age_seconds", "content_encoding", "custom_headers", "fresh_each_try")
        return {name: getattr(self, name) for name in names}


class PaymentFields(Body):
    """What a payment is; what is left out is as it is known so far, else as in the documentation's example."""

    account: Text | None = None
    amount: Amount | None = None
    currency: Text | None = None
    direction: Direction | None = None
    type: Text | None = None
    details: Text | None = None
    script: StatusScript | None = None
    at: Time | None = None

    def payment(self, transaction_id: str, known: Payment | None) -> Payment:
        """Return the payment, its script started now, or when it is said."""
        config = bank().config
        usual = known or Payment(
            transaction_id, EXAMPLE_ACCOUNT, EXAMPLE_AMOUNT, "USD", config.payment_script, bank().clock()
        )
        return Payment(
            transaction_id,
            self.account or usual.account,
            usual.amount if self.amount is None else self.amount,
            self.currency or usual.currency,
            self.script or usual.script,
            self.at or bank().clock(),
            self.direction or usual.direction,
            self.type or usual.kind,
            self.details or usual.details,
        )


class DepositBody(PaymentFields, SignedSendingBody):
    """A deposit and how its notification is sent, if it is.

    It may be dropped: the bank knows the deposit, and never tells it. It may be denied: it is told, and the bank does
    not know it. It may claim another amount than the bank has.
    """

    transaction_id: Text | None = None
    drop: bool = False
    deny: bool = False
    claimed_amount: Amount | None = None


class TransactionBody(PaymentFields):
    """An entry of an account that no payment stands behind; `raw` is shown in its place."""

    transaction_id: Text | None = None
    raw: object = None


class JobPlanBody(Body):
    """How jobs go; what is left out is as planned so far, but for the number of failures."""

    script: StatusScript | None = None
    failed: Annotated[int, Field(ge=0, le=ITEMS_MAX)] | None = None
    result_as_text: bool | None = None
    method: Method | None = None

    def plan(self) -> JobPlan:
        """Return the plan."""
        known = bank().job_plan
        as_text = known.result_as_text if self.result_as_text is None else self.result_as_text
        return JobPlan(self.script or known.script, self.failed, as_text, self.method or known.method)


class ResultBody(Body):
    """What became of one item of a job."""

    http_status: Annotated[int, Field(ge=100, le=599)]
    error: str | None = None
    result_json: object = None


class JobBody(JobPlanBody):
    """A job; without `results` they are made up for `total` items."""

    total: Annotated[int, Field(ge=0, le=ITEMS_MAX)] = 1
    results: Annotated[list[ResultBody], Field(max_length=ITEMS_MAX)] | None = None
    callback_url: Url | None = None
    custom_headers: Headers = Field(default={})


class KeyBody(Body):
    """Whether the new key has the name of the old one."""

    keep_version: bool = False


class LifetimeBody(Body):
    """How long tokens live."""

    seconds: Seconds


class RateLimitBody(Body):
    """So many requests in so many seconds; 0 requests: no limit."""

    requests: Annotated[int, Field(ge=0, le=1_000_000)]
    seconds: Seconds = 3600.0


class PermissionsBody(Body):
    """The permissions of tokens that are issued from now on."""

    permissions: Texts


class OldTokensBody(Body):
    """What a token from before a rotation is still good for."""

    old_tokens: OldTokens


@blueprint.put("/payments/<payment_id>")
def put_payment(payment_id: str) -> Response:
    """Make or change a payment, quietly; its script starts now."""
    payment = read_body(PaymentFields).payment(payment_id, bank().payments.get(payment_id))
    bank().add_payment(payment)
    return json_answer({"transactionId": payment_id, "status": payment.status(bank().clock())})


@blueprint.post("/deposits")
def send_deposit() -> Response:
    """Take up a deposit and send its notification.

    A payment that the bank knows already stays as it is, unless a script is given: then all that is given holds.
    Forged and unsigned callbacks are about payments that the bank knows nothing of, likewise unless a script is given.
    """
    body = read_body(DepositBody)
    transaction_id = body.transaction_id or f"FT{secrets.token_hex(6).upper()}"
    known = bank().payments.get(transaction_id)
    payment = body.payment(transaction_id, known)
    claimed = payment if body.claimed_amount is None else replace(payment, amount=body.claimed_amount)
    message = _different(bank().deposit_message(claimed, **body.signed()), body)
    if not body.drop:
        bank().outbox.address(message, body.sending())
    is_new = known is None and body.variant not in ("forged", "unsigned")
    if not body.deny and (is_new or body.script is not None):
        bank().add_payment(payment)
    return send([] if body.drop else [message], body)


@blueprint.post("/transactions")
def add_transaction() -> Response:
    """Enter something on an account beside its payments: a fee, the other side of a transfer, or any JSON at all."""
    body = read_body(TransactionBody)
    transaction_id = body.transaction_id or f"FT{secrets.token_hex(6).upper()}"
    payment = body.payment(transaction_id, None)
    shown = payment.as_transaction() if body.raw is None else body.raw
    bank().add_entry(Entry(payment.account, payment.started, shown))
    return json_answer({"transaction": shown})


@blueprint.put("/job-plan")
def plan_jobs() -> Response:
    """Let jobs that are created from now on go another way."""
    plan = bank().job_plan = read_body(JobPlanBody).plan()
    return json_answer({"script": plan.script.as_json(), "failed": plan.failed})


@blueprint.put("/jobs/<job_id>")
def put_job(job_id: str) -> Response:
    """Make or replace a job; its end is announced to its address, where it has one."""
    body, now = read_body(JobBody), bank().clock()
    plan = body.plan()
    if body.results is None:
        results = plan.results(body.total)
    else:
        results = tuple(ItemResult(item.http_status, item.error, item.result_json) for item in body.results)
    job = Job(
        job_id, plan.script, now, results, plan.result_as_text, plan.method, body.callback_url, body.custom_headers
    )
    bank().jobs.put(job_id, job)
    return json_answer(job.as_json(now))


@blueprint.post("/jobs/<job_id>/webhook")
def send_job(job_id: str) -> Response:
    """Send a job's webhook now."""
    body, job = read_body(SignedSendingBody), bank().jobs.get(job_id)
    if job is None:
        raise not_found("Job")
    return send([_different(bank().job_message(job, **body.signed()), body)], body)


@blueprint.post("/rsa-key/rotate")
def rotate_key() -> Response:
    """Replace the key that callbacks are signed with."""
    key = bank().keys.rotate(keep_version=read_body(KeyBody).keep_version)
    return json_answer({"kid": key.kid, "signatureVersion": key.signature_version})


@blueprint.put("/token-lifetime")
def set_token_lifetime() -> Response:
    """Let tokens that are issued from now on live for so long."""
    seconds = read_body(LifetimeBody).seconds
    bank().options.change({"token_lifetime_seconds": seconds})
    return json_answer({"seconds": seconds})


@blueprint.put("/rate-limit")
def set_rate_limit() -> Response:
    """Set another limit on requests; counting starts anew."""
    body = read_body(RateLimitBody)
    bank().options.change({"rate_limit": body.requests, "rate_window_seconds": body.seconds})
    bank().requests_limit.reset()
    return json_answer({"requests": body.requests, "seconds": body.seconds})


@blueprint.put("/permissions")
def set_permissions() -> Response:
    """Give tokens that are issued from now on other permissions."""
    permissions = read_body(PermissionsBody).permissions
    bank().replace_client(bank().client.with_permissions(frozenset(permissions)))
    return json_answer({"permissions": sorted(permissions)})


@blueprint.get("/credentials")
def credentials() -> Response:
    """Show what was really done to credentials, however often it was asked for."""
    answers = bank().credentials
    clients = [
        {"clientId": client.client_id, "isActive": client.is_active, "generation": client.generation}
        for client in list(bank().clients.values())
    ]
    done = {what: answers.done[what] for what in ("created", "rotated", "disabled")}
    return json_answer({"oldTokens": answers.old_tokens, **done, "clients": clients})


@blueprint.put("/old-tokens")
def set_old_tokens() -> Response:
    """Say what a token from before a rotation is still good for."""
    bank().credentials.old_tokens = read_body(OldTokensBody).old_tokens
    return credentials()


def _different(message: SignedMessage, body: SignedSendingBody) -> SignedMessage:
    """Return a message that differs from the one whose nonce it reuses, by a space where by nothing else."""
    if body.variant == OTHER_BODY and bank().outbox.earlier(message).message.text == message.text:
        return replace(message, text=message.text + " ")
    return message
