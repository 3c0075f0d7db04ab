"""What is stored, as it is shown: the same JSON in the API and on the command line."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row

from receiver.inbox.explain import Report
from receiver.replay.plan import Plan
from receiver.store import events, feed, payments, sources
from receiver.store.feed import Entry


def rfc3339(time: datetime) -> str:
    """Write a time in UTC to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def event(row: Row[Any]) -> dict[str, Any]:
    """Show an event as the API and the command line do."""
    return {
        "id": row.id,
        "source": row.source,
        "bank": row.bank,
        "type": row.type,
        "subject": row.subject,
        "payment_id": row.payment_id,
        "received_at": rfc3339(row.received_at),
        "proof": row.proof,
        "proof_key": row.proof_key,
        "claimed_status": row.claimed_status,
        "amount": row.amount,
        "currency": row.currency,
        "facts": row.facts,
        "conflict": row.conflict,
        "payload_sha256": row.payload_sha256,
    }


def timeline(
    deliveries: Sequence[Row[Any]], checks: Sequence[Row[Any]], entries: Sequence[Entry]
) -> list[dict[str, Any]]:
    """List what happened around an event, in the order of time."""
    steps = [
        {
            "at": row.received_at,
            "what": "delivery",
            "delivery": row.id,
            "verdict": row.verdict,
            "conflict": bool(row.conflict and row.verdict == "duplicate"),
            "peer": row.peer,
        }
        for row in deliveries
    ]
    steps += [
        {"at": row.at, "what": "check", "outcome": row.outcome, "bank_status": row.bank_status, "detail": row.detail}
        for row in checks
    ]
    steps += [
        {"at": entry.time, "what": "feed", "type": entry.type, "position": entry.position or None} for entry in entries
    ]
    return [dict(step, at=rfc3339(step["at"])) for step in sorted(steps, key=lambda step: step["at"])]


def event_with_timeline(connection: Connection, event_id: str) -> dict[str, Any] | None:
    """Show an event and what happened around it; none where there is no such event."""
    row = events.find(connection, event_id)
    if row is None:
        return None
    about = payments.find(connection, row.source, row.kind, row.subject) if row.subject else None
    checks = payments.checks_of(connection, about.id) if about else []
    steps = timeline(events.deliveries_of(connection, event_id), checks, feed.of_event(connection, event_id))
    return event(row) | {"timeline": steps}


def subject(row: Row[Any], checks: Sequence[Row[Any]] | None = None) -> dict[str, Any]:
    """Show a payment or a job, with its checks where these are given."""
    shown = {
        "source": row.source,
        f"{row.kind}_id": row.subject,
        "status": row.status,
        "bank_status": row.bank_status,
        "agreement": row.agreement,
        "claimed_status": row.claimed_status,
        "amount": row.amount,
        "currency": row.currency,
        "returns": row.returns,
        "returned_by": row.returned_by,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "next_check_at": rfc3339(row.due_at) if row.due_at else None,
    }
    if checks is not None:
        shown["checks"] = [
            {"at": rfc3339(row.at), "bank_status": row.bank_status, "outcome": row.outcome, "detail": row.detail}
            for row in checks
        ]
    return shown


def feed_entry(entry: Entry) -> Mapping[str, Any]:
    """Show a feed entry as a CloudEvents 1.0 JSON object (structured mode)."""
    shown: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"fe_{entry.position}",
        "source": f"/sources/{entry.source}",
        "type": entry.type,
        "time": rfc3339(entry.time),
        "datacontenttype": "application/json",
        "position": entry.position,
        "data": entry.data,
    }
    if entry.subject is not None:
        shown["subject"] = entry.subject
    if entry.event_id is not None:
        shown["eventid"] = entry.event_id
    if entry.replay_id is not None:
        shown["replayid"] = entry.replay_id
    return shown


def delivery(row: Row[Any]) -> dict[str, Any]:
    """Show a delivery without its body."""
    return {
        "id": row.id,
        "source": row.source,
        "received_at": rfc3339(row.received_at),
        "verdict": row.verdict,
        "reason": row.reason,
        "detail": row.detail,
        "signature_right": row.proven,
        "peer": row.peer,
        "path": row.path,
        "headers": row.headers,
        "body_bytes": row.body_bytes,
        "body_sha256": row.body_sha256,
    }


def explanation(row: Row[Any], report: Report) -> dict[str, Any]:
    """Show how a delivery was signed."""
    fits = [
        {
            "key": fit.match.key_id,
            "encoding": fit.match.encoding,
            "path": fit.match.path,
            "differences": list(fit.differences),
        }
        for fit in report.fits
    ]
    return {
        "id": row.id,
        "source": row.source,
        "verdict": row.verdict,
        "reason": row.reason,
        "path": row.path,
        "signed_seconds_before_receipt": report.clock_seconds,
        "fits": fits,
        "remarks": list(report.remarks),
    }


def plan(connection: Connection, made: Plan) -> dict[str, Any]:
    """Show what a replay would do."""
    names = sources.names(connection)
    sample = [
        {
            "source": names[row.source_id],
            "type": getattr(row, "type", "delivery.rejected"),
            "subject": getattr(row, "subject", row._mapping.get("id")),
            "time": rfc3339(row.time if "time" in row._mapping else row.received_at),
        }
        for row in made.sample
    ]
    return {
        "matched": made.matched.number,
        "from": rfc3339(made.matched.first) if made.matched.first else None,
        "to": rfc3339(made.matched.last) if made.matched.last else None,
        "sample": sample,
        "plan": made.token,
        "expires_at": rfc3339(made.expires_at),
    }


def replay(row: Row[Any]) -> dict[str, Any]:
    """Show a replay and how far it has come."""
    return {
        "id": row.id,
        "state": row.state,
        "target": row.target,
        "filter": row.filter,
        "consumer": row.consumer,
        "per_second": row.per_second,
        "matched": row.total,
        "done": row.done,
        "failed": row.failed,
        "reason": row.reason,
        "requested_by": row.requested_by,
        "created_at": rfc3339(row.created_at),
        "finished_at": rfc3339(row.finished_at) if row.finished_at else None,
    }


def audit_entry(row: Row[Any]) -> dict[str, Any]:
    """One line of the audit log."""
    return {"id": row.id, "at": rfc3339(row.at), "who": row.who, "what": row.what, "why": row.why, "about": row.about}
