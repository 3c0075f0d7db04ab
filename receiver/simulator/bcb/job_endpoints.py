"""The bank's endpoints for background jobs.

Where the sheet is silent: results come as `{"meta","data"}` pages, empty until the job has ended; these endpoints need
no permission beyond the token, because none is published for them.
"""

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.bcb import gate, pages
from receiver.simulator.bcb.bodies import read_object
from receiver.simulator.bcb.jobs import Job
from receiver.simulator.bcb.refusals import BankRefusal, TooManyRequests, not_found
from receiver.simulator.fields import is_headers, is_url
from receiver.simulator.parts import parts

ITEMS_MAX = 1000


def add_to(blueprint: Blueprint) -> None:
    """Add the endpoints to the bank's blueprint."""
    blueprint.add_url_rule("/v1/virtual-accounts", view_func=create_virtual_accounts, methods=["POST"])
    blueprint.add_url_rule("/v1/jobs", view_func=jobs)
    blueprint.add_url_rule("/v1/jobs/<job_id>", view_func=job)
    blueprint.add_url_rule("/v1/jobs/<job_id>/results", view_func=job_results)


def create_virtual_accounts() -> Response:
    """`POST /v1/virtual-accounts` `{"items","callbackUrl"?,"customHeaders"?}`: 202 with the job; one request in 2 s."""
    bank = parts().bank
    body = read_object()
    items, url, headers = body.get("items"), body.get("callbackUrl"), body.get("customHeaders")
    if not isinstance(items, list) or not 1 <= len(items) <= ITEMS_MAX:
        raise BankRefusal(400, "Bad request", f"items must be a list of 1 to {ITEMS_MAX}")
    if url is not None and not (isinstance(url, str) and is_url(url)):
        raise BankRefusal(400, "Bad request", "callbackUrl must be an absolute address")
    if headers is not None and not is_headers(headers):
        raise BankRefusal(400, "Bad request", "customHeaders: at most 10, keys up to 50, values up to 500 characters")
    wait = bank.creations_limit.take(gate.caller())
    if wait is not None:
        raise TooManyRequests(wait)
    made = bank.create_job(len(items), url, headers if isinstance(headers, dict) else {})
    return json_answer(_accepted(made), 202)


def jobs() -> Response:
    """`GET /v1/jobs`: only those that are Pending or InProgress."""
    bank = parts().bank
    now = bank.clock()
    return json_answer(pages.read(request.args).of([found.as_json(now) for found in bank.jobs.active(now)]))


def job(job_id: str) -> Response:
    """`GET /v1/jobs/{id}`."""
    return json_answer(_job(job_id).as_json(parts().bank.clock()))


def job_results(job_id: str) -> Response:
    """`GET /v1/jobs/{id}/results`."""
    found = _job(job_id)
    as_text = found.plan.result_as_text
    entries = [item.as_json(as_text=as_text) for item in found.results_at(parts().bank.clock())]
    return json_answer(pages.read(request.args).of(entries))


def _accepted(job: Job) -> dict[str, object]:
    address = f"{request.host_url}v1/jobs/{job.job_id}"
    return {"jobId": job.job_id, "status": "Pending", "statusUrl": address, "resultUrl": f"{address}/results"}


def _job(job_id: str) -> Job:
    bank = parts().bank
    found = bank.jobs.get(job_id)
    if found is None or found.status(bank.clock()) is None:
        raise not_found("Job")
    return found
