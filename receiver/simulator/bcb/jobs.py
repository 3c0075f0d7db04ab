"""Background jobs: their status, their summary and what became of each item."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from receiver.simulator.config import Method
from receiver.simulator.json_text import dumps
from receiver.simulator.scripts import UNKNOWN, Script

ACTIVE = ("Pending", "InProgress")
"""The statuses that `GET /v1/jobs` lists."""


@dataclass(frozen=True)
class ItemResult:
    """What became of one item: `http_status` 200 or 201 where it went well, 400 where not."""

    http_status: int
    error: str | None = None
    result: object = None

    def as_json(self, *, as_text: bool) -> dict[str, object]:
        """Return the item as `/results` shows it; `as_text` makes `resultJson` a string of JSON."""
        result = dumps(self.result) if as_text and self.result is not None else self.result
        return {"httpStatus": self.http_status, "error": self.error, "resultJson": result}


@dataclass(frozen=True)
class JobPlan:
    """How a job will go.

    `failed` is how many of its first items fail (None: one where the script ends in CompletedWithErrors, else none);
    `result_as_text` shows `resultJson` as a string; `method` signs its webhook.
    """

    script: Script
    failed: int | None = None
    result_as_text: bool = False
    method: Method = "hmac"

    def failures(self, total: int) -> int:
        """Return how many of `total` items fail."""
        wished = int(self.script.outcome == "CompletedWithErrors") if self.failed is None else self.failed
        return min(wished, total)


@dataclass(frozen=True)
class Job:
    """One job; its script starts at `started` (UTC)."""

    job_id: str
    plan: JobPlan
    results: tuple[ItemResult, ...]
    started: datetime
    callback_url: str | None = None
    custom_headers: Mapping[str, str] = field(default_factory=dict)

    def status(self, now: datetime) -> str | None:
        """Return the status at `now`, or None while the bank does not know the job."""
        status = self.plan.script.at(self._age(now))
        return None if status == UNKNOWN else status

    def finished(self, now: datetime) -> bool:
        """Tell whether the last step of the script is reached."""
        return self.plan.script.ended(self._age(now))

    def summary(self, now: datetime) -> dict[str, object]:
        """Return how many items there are, went well and failed: none of them before the end, or if cancelled."""
        done = self.results_at(now)
        failed = sum(1 for item in done if item.http_status >= 400)
        return {"total": len(self.results), "completed": len(done) - failed, "failed": failed}

    def results_at(self, now: datetime) -> tuple[ItemResult, ...]:
        """Return the results that are there at `now`."""
        return self.results if self.finished(now) and self.plan.script.outcome != "Cancelled" else ()

    def as_json(self, now: datetime) -> dict[str, object]:
        """Return the job's entry, which is also the body of its webhook (by analogy: that body is not published)."""
        return {
            "jobId": self.job_id,
            "jobStatus": self.status(now),
            "eventType": "job.status",
            "summary": self.summary(now),
        }

    def _age(self, now: datetime) -> float:
        return (now - self.started).total_seconds()


def results(total: int, plan: JobPlan) -> tuple[ItemResult, ...]:
    """Make up the results of `total` virtual accounts."""
    failures = plan.failures(total)
    failed = (ItemResult(400, "Currency not provisioned for this client"),) * failures
    made = tuple(ItemResult(201, None, {"accountNumber": f"20{n:08d}"}) for n in range(1, total - failures + 1))
    return failed + made


class Jobs:
    """All jobs, in the order in which they came."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._untold: set[str] = set()
        self._lock = threading.Lock()

    def put(self, job: Job) -> None:
        """Add a job, or replace the one with its id; its end will be told once."""
        with self._lock:
            self._jobs[job.job_id] = job
            self._untold.add(job.job_id)

    def get(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        with self._lock:
            return self._jobs.get(job_id)

    def active(self, now: datetime) -> list[Job]:
        """Return the jobs that are Pending or InProgress."""
        with self._lock:
            return [job for job in self._jobs.values() if job.status(now) in ACTIVE]

    def take_finished(self, now: datetime) -> list[Job]:
        """Return the jobs that have ended and were not taken before."""
        with self._lock:
            finished = [job for job_id in self._untold if (job := self._jobs[job_id]).finished(now)]
            self._untold.difference_update(job.job_id for job in finished)
        return finished
