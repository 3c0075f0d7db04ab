"""Control endpoints of BCB, under `/_simulator`. All bodies are JSON objects; every field shown is optional unless said.

| call | does |
| --- | --- |
| `PUT /_simulator/payments/<id>` | makes or changes a payment, without telling anybody: `{"script":[["unknown",2],["Pending",2],["Completed"]],"account":"1046406142","amount":"1000.00","currency":"USD","direction":"Credit","type":"Swift payment","details":"…"}`; the script starts now |
| `POST /_simulator/deposits` | books a deposit and sends its notification: `{"transactionId":"FT1","account":…,"amount":…,"currency":…,"direction":…,"type":…,"details":…,"script":[…]}` and the fields of a sending; answers with a delivery |
| `PUT /_simulator/job-plan` | how jobs that are created from now on go: `{"script":[["Pending",1],["CompletedWithErrors"]],"failed":1,"resultAsText":true,"method":"rsa"}` |
| `PUT /_simulator/jobs/<id>` | makes or replaces a job: the fields of a plan and `{"total":3,"results":[{"httpStatus":201,"error":null,"resultJson":{}}],"callbackUrl":…,"customHeaders":{…}}`; its end is told to `callbackUrl` |
| `POST /_simulator/jobs/<id>/webhook` | sends the job's webhook now: the fields of a sending; answers with a delivery |
| `GET`, `DELETE /_simulator/deliveries` | `{"deliveries":[…]}`, oldest first, 500 at most; forgets them |
| `POST /_simulator/rsa-key/rotate` | a new RSA key: `{"keepVersion":false}` |
| `PUT /_simulator/token-lifetime` | `{"seconds":5}` (required), for tokens issued from now on |
| `POST /_simulator/tokens/expire` | makes every token worthless at once |
| `PUT /_simulator/rate-limit` | `{"requests":5,"seconds":60}` (required; 0 requests: no limit); counting starts anew |
| `PUT /_simulator/permissions` | `{"permissions":["get-payment-status"]}` (required), for tokens issued from now on |
| `GET /_simulator/credentials` | `{"oldTokens":…,"created":0,"rotated":0,"disabled":0,"clients":[{"clientId","isActive","generation"},…]}`: what was really done, however often it was asked for |
| `PUT /_simulator/old-tokens` | what a token from before a rotation is still good for: `{"oldTokens":"stored-answer"}` (required; asking once more for the answer to an `Idempotency-Key`), `kept` (all) or `revoked` (nothing) |

A script is a list of `[status, seconds]`; the last step lasts for ever, and `unknown` is answered 404.

A sending: `{"variant":"genuine","method":"hmac","url":"http://…","signedPath":"/…","ageSeconds":3600,
"contentEncoding":"gzip","customHeaders":{…},"freshEachTry":false,"delays":[1,2],"wait":true}`. Variants: `genuine`,
`forged`, `stale`, `unsigned`, `again` (exactly the last rightly signed delivery about that id), `other-body` (its nonce
with another body). Only genuine ones are tried again, unless `delays` says so. `"wait":false` answers 202 at once; the
outcome is then under `/_simulator/deliveries`. A delivery: `{"subject","variant","url","timestamp","nonce","sent",
"accepted","status","body","tries":[{"at","seconds","status","body","error"},…]}`; `status` and `body` are what the
receiver answered last, null and empty where it did not.
"""  # noqa: E501 - a table's row can't be broken

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.bcb import orders
from receiver.simulator.bcb.credentials import OLD_TOKENS
from receiver.simulator.bcb.dispatches import Record
from receiver.simulator.bcb.notifier import NothingToSendError
from receiver.simulator.bcb.refusals import not_found
from receiver.simulator.control import COUNT_MAX, refuse
from receiver.simulator.fields import BadFieldError, Fields
from receiver.simulator.gateway import CONTROL_PREFIX
from receiver.simulator.parts import parts


def blueprint() -> Blueprint:
    """Return BCB's control endpoints."""
    made = Blueprint("bcb_control", __name__, url_prefix=CONTROL_PREFIX)
    made.register_error_handler(BadFieldError, refuse)
    made.register_error_handler(NothingToSendError, refuse)
    made.add_url_rule("/payments/<payment_id>", view_func=put_payment, methods=["PUT"])
    made.add_url_rule("/deposits", view_func=send_deposit, methods=["POST"])
    made.add_url_rule("/job-plan", view_func=plan_jobs, methods=["PUT"])
    made.add_url_rule("/jobs/<job_id>", view_func=put_job, methods=["PUT"])
    made.add_url_rule("/jobs/<job_id>/webhook", view_func=send_job, methods=["POST"])
    made.add_url_rule("/deliveries", view_func=deliveries)
    made.add_url_rule("/deliveries", view_func=forget_deliveries, methods=["DELETE"])
    made.add_url_rule("/rsa-key/rotate", view_func=rotate_key, methods=["POST"])
    made.add_url_rule("/token-lifetime", view_func=set_token_lifetime, methods=["PUT"])
    made.add_url_rule("/tokens/expire", view_func=expire_tokens, methods=["POST"])
    made.add_url_rule("/rate-limit", view_func=set_rate_limit, methods=["PUT"])
    made.add_url_rule("/permissions", view_func=set_permissions, methods=["PUT"])
    made.add_url_rule("/credentials", view_func=credentials)
    made.add_url_rule("/old-tokens", view_func=set_old_tokens, methods=["PUT"])
    return made


def put_payment(payment_id: str) -> Response:
    """`PUT /_simulator/payments/<id>`."""
    bank = parts().bank
    fields = Fields(request.get_data())
    known = bank.payments.get(payment_id)
    deposit = orders.deposit(fields, payment_id, known)
    script = fields.script("script") or (known.script if known else bank.config.payment_script)
    fields.done()
    payment = deposit.payment(script, bank.clock())
    bank.book(payment)
    return json_answer({"transactionId": payment_id, "status": payment.status(bank.clock())})


def send_deposit() -> Response:
    """`POST /_simulator/deposits`."""
    notifier = parts().notifier
    fields = Fields(request.get_data())
    transaction_id = fields.text("transactionId", f"FT{secrets.token_hex(6).upper()}")
    deposit = orders.deposit(fields, transaction_id, parts().bank.payments.get(transaction_id))
    script = fields.script("script")
    dispatch, wait = orders.dispatch(fields, notifier.options())
    fields.done()
    notifier.address(transaction_id, dispatch)
    return _sent(lambda: notifier.deposit(deposit, dispatch, script), wait=wait, subject=transaction_id)


def plan_jobs() -> Response:
    """`PUT /_simulator/job-plan`."""
    bank = parts().bank
    fields = Fields(request.get_data())
    plan = orders.job_plan(fields, bank.job_plan)
    fields.done()
    bank.plan_jobs(plan)
    return json_answer({"script": [[step.status, step.seconds] for step in plan.script.steps], "failed": plan.failed})


def put_job(job_id: str) -> Response:
    """`PUT /_simulator/jobs/<id>`."""
    bank = parts().bank
    fields = Fields(request.get_data())
    job = orders.job(fields, job_id, bank.job_plan, bank.clock())
    fields.done()
    bank.jobs.put(job)
    return json_answer(job.as_json(bank.clock()))


def send_job(job_id: str) -> Response:
    """`POST /_simulator/jobs/<id>/webhook`."""
    notifier = parts().notifier
    job = parts().bank.jobs.get(job_id)
    fields = Fields(request.get_data())
    dispatch, wait = orders.dispatch(fields, notifier.options())
    fields.done()
    if job is None:
        raise not_found("Job")
    given = dispatch.options.custom_headers if dispatch.options else {}
    told = replace(job, custom_headers={**job.custom_headers, **given})
    notifier.address(job_id, dispatch)
    return _sent(lambda: notifier.job(told, dispatch), wait=wait, subject=job_id)


def deliveries() -> Response:
    """`GET /_simulator/deliveries`."""
    return json_answer({"deliveries": [record.as_json() for record in parts().notifier.records()]})


def forget_deliveries() -> Response:
    """`DELETE /_simulator/deliveries`."""
    parts().notifier.clear()
    return deliveries()


def rotate_key() -> Response:
    """`POST /_simulator/rsa-key/rotate`."""
    fields = Fields(request.get_data())
    keep = fields.flag("keepVersion", default=False)
    fields.done()
    key = parts().bank.keys.rotate(keep_version=keep)
    return json_answer({"kid": key.kid, "signatureVersion": key.signature_version})


def set_token_lifetime() -> Response:
    """`PUT /_simulator/token-lifetime`."""
    fields = Fields(request.get_data())
    seconds = fields.number("seconds")
    fields.done()
    parts().bank.tokens.set_lifetime(seconds)
    return json_answer({"seconds": seconds})


def expire_tokens() -> Response:
    """`POST /_simulator/tokens/expire`."""
    return json_answer({"expired": parts().bank.tokens.expire_all()})


def set_rate_limit() -> Response:
    """`PUT /_simulator/rate-limit`."""
    fields = Fields(request.get_data())
    limit, seconds = fields.whole("requests", 0, COUNT_MAX) or 0, fields.number("seconds", 3600)
    fields.done()
    parts().bank.requests_limit.change(limit, seconds)
    return json_answer({"requests": limit, "seconds": seconds})


def set_permissions() -> Response:
    """`PUT /_simulator/permissions`."""
    bank = parts().bank
    fields = Fields(request.get_data())
    permissions = fields.texts("permissions")
    fields.done()
    bank.replace_client(bank.client.with_permissions(frozenset(permissions)))
    return json_answer({"permissions": sorted(permissions)})


def credentials() -> Response:
    """`GET /_simulator/credentials`."""
    bank = parts().bank
    clients = [
        {"clientId": client.client_id, "isActive": client.is_active, "generation": client.generation}
        for client in list(bank.clients.values())
    ]
    done = {what: bank.credentials.done[what] for what in ("created", "rotated", "disabled")}
    return json_answer({"oldTokens": bank.credentials.old_tokens, **done, "clients": clients})


def set_old_tokens() -> Response:
    """`PUT /_simulator/old-tokens`."""
    fields = Fields(request.get_data())
    old_tokens = fields.choice("oldTokens", OLD_TOKENS)
    fields.done()
    parts().bank.credentials.old_tokens = old_tokens
    return credentials()


def _sent(send: Callable[[], Record], *, wait: bool, subject: str) -> Response:
    if wait:
        return json_answer(send().as_json())
    threading.Thread(target=send, name="notification", daemon=True).start()
    return json_answer({"subject": subject}, 202)
