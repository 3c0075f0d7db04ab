"""The evidence packet of an event, to hand to the bank or an auditor: what came, how it was proven, what followed.

It holds nothing secret, whoever makes it: no payload, no names, no remittance text, no token, of keys the name alone,
of accounts the last characters. References it has (`model.name_to_tell`): the bank finds the payment by them. What it
names by its digest (SHA-256) can be checked against what is stored, and the audit entries against an export of the log.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from receiver.admin import search
from receiver.admin.audit import note
from receiver.admin.event_story import Story, story
from receiver.runtime import Runtime
from receiver.store import audit
from receiver.store.events import EventDelivery
from receiver.store.search_terms import HIDDEN

FORMAT = "bank-callback-evidence/1"


def packet(runtime: Runtime, who: str, event_id: str) -> dict[str, Any]:
    """Return the packet as values of JSON; audited as `evidence.made`, which is its last audit entry.

    Raises:
        NotFound
        StoreUnavailable: the entry can't be written, and nothing is handed out.
    """
    event = story(runtime, event_id).event
    note(runtime, who, "evidence.made", {"source": event.source, "event": event.id})
    found = story(runtime, event_id)
    with runtime.database.read() as connection:
        state = audit.state(connection)
    return {
        "format": FORMAT,
        "made_at": _time(runtime.clock()),
        "made_by": who,
        "event": _event(found),
        "deliveries": [_delivery(found, came) for came in found.deliveries],
        "bank": _bank(found),
        "feed": [
            {
                "position": entry.position or None,
                "type": entry.type,
                "at": _time(entry.time),
                "replay": entry.replay_id,
                "copied_at": _time(entry.copied_at) if entry.copied_at else None,
                "consumer": entry.consumer,
            }
            for entry in found.entries
        ],
        "timeline": [
            {"at": _time(step.at), "what": step.what, "words": step.words, "reason": step.detail}
            for step in found.steps
        ],
        "audit": {
            "entries": [{**entry._asdict(), "at": _time(entry.at)} for entry in found.looks],
            "log_entries": state.entries if state else None,
            "log_digest": state.digest if state else None,
        },
    }


def _event(found: Story) -> dict[str, Any]:
    event = search.masked(found.event, with_texts=False)
    names = ("id", "source", "bank", "type", "subject", "payment_id", "amount", "currency", "facts")
    return {name: getattr(event, name) for name in names} | {
        "claimed_status": event.claimed_status,
        "proof": event.proof,
        "proof_key": event.proof_key,
        "late": event.late,
        "found_by": event.found_by,
        "conflict": event.conflict,
        "received_at": _time(event.received_at),
        "body_sha256": event.payload_sha256,
    }


def _delivery(found: Story, came: EventDelivery) -> dict[str, Any]:
    shown = {
        "id": came.id,
        "received_at": _time(came.received_at),
        "verdict": came.verdict,
        "peer": came.peer,
        "other_content": came.conflict,
    }
    first = found.delivery
    if first is None or first.id != came.id:
        return shown
    # Tokens in headers and path were replaced by their digests before they were stored.
    signed = _time(first.signed_at) if first.signed_at else None
    return shown | {
        "path": first.path,
        "headers": dict(first.headers),
        "signed_at": signed,
        "proof_key": first.proof_key,
        "body_bytes": first.body_bytes,
        "body_sha256": first.body_sha256,
    }


def _bank(found: Story) -> dict[str, Any] | None:
    if found.subject is None:
        return None
    subject = found.subject
    return {
        str(subject.kind): subject.subject,
        "status": subject.status,
        "bank_status": subject.bank_status,
        "agreement": subject.agreement,
        "claimed_status": subject.claimed_status,
        "updated_at": _time(subject.updated_at),
        "checks": [
            {
                "at": _time(check.at),
                "outcome": check.outcome,
                "bank_status": check.bank_status,
                "detail": search.masked_detail(check),
            }
            for check in found.checks
        ],
    }


def _time(at: Any) -> str:
    return f"{at.isoformat(timespec='milliseconds')}".replace("+00:00", "Z")


def markdown(packed: Mapping[str, Any]) -> str:
    """Write a packet as Markdown (CommonMark), for people."""
    return "\n".join(_lines(packed)) + "\n"


def _lines(packed: Mapping[str, Any]) -> Iterator[str]:
    event = packed["event"]
    yield f"# Evidence: {_inline(event['id'])}"
    yield ""
    yield f"Made at {packed['made_at']} by {_inline(packed['made_by'])}. It holds no payload and no secret;"
    yield f"accounts are shown by their last characters, and {HIDDEN} stands for names and texts."
    yield "References are shown, though a payer may have chosen them: the bank finds the payment by them."
    yield "`sha256` is of the bytes as they were received."
    for heading, values in (("What the callback claims", event), ("What the bank says", packed["bank"] or {})):
        yield from ("", f"## {heading}", "")
        yield from _table([(name, value) for name, value in values.items() if name != "checks"])
    checks = (packed["bank"] or {}).get("checks", [])
    yield from ("", "## What the bank was asked", "")
    yield from _rows(checks, ("at", "outcome", "bank_status", "detail"), "It was not asked.")
    yield from ("", "## How it came", "")
    for delivery in packed["deliveries"]:
        yield from _table(list(delivery.items()))
        yield ""
    yield from ("## What happened", "")
    yield from _rows(packed["timeline"], ("at", "what", "words", "reason"), "Nothing.")
    yield from ("", "## The audit log's entries", "")
    yield from _rows(packed["audit"]["entries"], ("id", "at", "who", "what", "why", "digest"), "None.")
    yield ""
    log = packed["audit"]
    yield f"The log had {log['log_entries']} entries; its newest digest was `{log['log_digest']}`."


def _table(pairs: Sequence[tuple[str, Any]]) -> Iterator[str]:
    yield from ("| what | value |", "| --- | --- |")
    for name, value in pairs:
        yield f"| {name.replace('_', ' ')} | {_cell(value)} |"


def _rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str], none: str) -> Iterator[str]:
    if not rows:
        yield none
        return
    yield f"| {' | '.join(name.replace('_', ' ') for name in names)} |"
    yield f"|{' --- |' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(_cell(row[name]) for name in names)} |"


def _cell(value: Any) -> str:
    if value is None or value == {} or value == "":
        return "-"
    if isinstance(value, Mapping):
        return "<br>".join(f"{_inline(name)}: {_inline(each)}" for name, each in value.items())
    return _inline(value)


def _inline(value: Any) -> str:
    """Write a text so that it means itself: nothing that came from outside makes a link, a picture or a table."""
    text = " ".join(str(value).split())
    for sign in "\\`*_[]<>|#!&~":
        text = text.replace(sign, f"\\{sign}")
    return text
