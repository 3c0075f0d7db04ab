"""Background jobs: their status, their summary and what became of each item."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from receiver.simulator.answers import dumps
from receiver.simulator.bcb.config import Method
from receiver.simulator.scripts import Script, Scripted

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
    `result_as_text` shows `resultJson` as a string; `method` signs its webhook (None: as all callbacks are).
    """

    script: Script
    failed: int | None = None
    result_as_text: bool = False
    method: Method | None = None

    def results(self, total: int) -> tuple[ItemResult, ...]:
        """Make up the results of `total` virtual accounts."""
        wanted = int(self.script.outcome == "CompletedWithErrors") if self.failed is None else self.failed
        failures = min(wanted, total)
        failed = (ItemResult(400, "Currency not provisioned for this client"),) * failures
        made = tuple(ItemResult(201, None, {"accountNumber": f"20{n:08d}"}) for n in range(1, total - failures + 1))
        return failed + made


@dataclass(frozen=True)
class Job(Scripted):
    """One job; its script starts at `started` (UTC)."""

    job_id: str
    script: Script
    started: datetime
    results: tuple[ItemResult, ...]
    result_as_text: bool = False
    method: Method | None = None
    callback_url: str | None = None
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    announced: bool = True

    def finished(self, now: datetime) -> bool:
        """Tell whether the last step of the script is reached."""
        return self.script.ended(self.age(now))

    def summary(self, now: datetime) -> dict[str, object]:
        """Return how many items there are, went well and failed: none of them before the end, or if cancelled."""
        done = self.results_at(now)
        failed = sum(1 for item in done if item.http_status >= 400)
        return {"total": len(self.results), "completed": len(done) - failed, "failed": failed}

    def results_at(self, now: datetime) -> tuple[ItemResult, ...]:
        """Return the results that are there at `now`."""
        return self.results if self.finished(now) and self.script.outcome != "Cancelled" else ()

    def as_json(self, now: datetime) -> dict[str, object]:
        """Return the job's entry, which is also the body of its webhook (by analogy: that body is not published)."""
        return {
            "jobId": self.job_id,
            "jobStatus": self.status(now),
            "eventType": "job.status",
            "summary": self.summary(now),
        }
