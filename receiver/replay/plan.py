"""Plans: what a replay would do, before it does it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection

from receiver.model import NotPossible, ReceiverError, ReplayState, ReplayTarget, reason_given
from receiver.signing.signed_text import NotOurs, SignedText
from receiver.store import audit, consumers, events, feed, replay_selection, replays, search_terms
from receiver.store.encryption import Encryption
from receiver.store.records import new_id
from receiver.store.replay_selection import Matched, Selection

TARGETS = tuple(str(target) for target in ReplayTarget)
VALID = timedelta(minutes=15)
SAMPLE = 5

TOKEN_CHARACTERS_MAX = 100_000
"""The whole filter stands in it; Linux takes no longer words than 131,072 bytes on a command line."""

_TIMES = ("received_after", "received_before")

_LISTS = {
    "source": "sources",
    "type": "types",
    "payment_id": "payment_ids",
    "event_id": "event_ids",
    "delivery_id": "delivery_ids",
}
"""The lists of a filter as it is written, and what each is in a `Selection`."""


class PlanWrong(ReceiverError):
    """What was asked for can't be planned, or the plan is not one of ours, was changed, or has expired."""


@dataclass(frozen=True)
class Request:
    """What somebody asks to be sent again, where to, and why. `per_second` bounds how many entries a second.

    `search` says what was searched for where the selection was chosen by a search, with nothing personal in it.
    """

    selection: Selection
    reason: str
    target: str = ReplayTarget.FEED
    consumer: str | None = None
    per_second: float | None = None
    search: Mapping[str, Any] | None = None


class SampleItem(NamedTuple):
    """One of the first things that a plan would send again; `time` is UTC."""

    source_id: int
    type: str
    subject: str | None
    time: datetime


@dataclass(frozen=True)
class Plan:
    """What it would come to; `token` runs exactly this."""

    matched: Matched
    sample: Sequence[SampleItem]
    token: str
    expires_at: datetime
    notes: Sequence[str] = ()
    """What of it is stored no longer, in words."""


class Planner:
    """Makes plans and starts them."""

    def __init__(self, keys: Sequence[str], approval_above: int) -> None:
        """Take the secret keys, newest first, and above how many entries a run waits for approval; 0 for never."""
        self._texts = SignedText(keys, "replay plan")
        self._approval_above = approval_above

    def plan(self, connection: Connection, request: Request, now: datetime) -> Plan:
        """Find out what a request comes to. What arrives later is no part of the plan.

        Raises:
            PlanWrong: there is no reason, a wrong target, or a filter that is too long.
        """
        _check(request)
        notes: list[str] = []
        if request.target == ReplayTarget.VERIFICATION:
            through = replay_selection.last_rejected(connection)
            matched = replay_selection.matching_rejected(connection, request.selection, through)
            sample = _sample_of_rejected(connection, request.selection, through)
        else:
            matched = replay_selection.matching_entries(connection, request.selection, feed.head(connection))
            through = str(matched.through)
            sample = _sample_of_entries(connection, request.selection, matched)
            notes = list(_gone(connection, request, matched))
        expires_at = now + VALID
        content = {
            "plan": request.selection.chosen or new_id("pln", now),
            "target": request.target,
            "filter": as_filter(request.selection) | ({"search": request.search} if request.search else {}),
            "consumer": request.consumer,
            "per_second": request.per_second,
            "reason": request.reason,
            "behind": matched.behind,
            "through": through,
            "total": matched.number,
            "expires": expires_at.timestamp(),
        }
        token = self._texts.make(content)
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise PlanWrong("The filter is too long: name fewer, and make several plans.")
        return Plan(matched, sample, token, expires_at, notes)

    def start(self, connection: Connection, encryption: Encryption, token: str, who: str, now: datetime) -> str:
        """Start a plan's run and return its id; the same plan again names the same run. A large one awaits approval.

        Raises:
            PlanWrong: it is not one of ours, was changed, or has expired.
        """
        content = self.read(token, now)
        values = {name: content[name] for name in ("plan", "target", "filter", "consumer", "per_second", "reason")}
        waits = 0 < self._approval_above < content["total"]
        values |= {
            "id": new_id("rpl", now),
            "through": content["through"],
            # A plan of the release before does not say where the first stands: its first part looks from the beginning.
            "place": "" if content["target"] == ReplayTarget.VERIFICATION else str(content.get("behind", 0)),
            "total": content["total"],
            "done": 0,
            "failed": 0,
            "state": ReplayState.AWAITING_APPROVAL if waits else ReplayState.RUNNING,
            "requested_by": who,
            "created_at": now,
            "due_at": now,
        }
        if replays.start(connection, values):
            about = {"replay": values["id"], **{name: content[name] for name in ("target", "filter", "total")}}
            what = "replay.requested" if waits else "replay.started"
            audit.write(connection, encryption, at=now, who=who, what=what, why=content["reason"], about=about)
        return replays.of_plan(connection, content["plan"])

    def read(self, token: str, now: datetime) -> dict[str, Any]:
        """Return what a plan says.

        Raises:
            PlanWrong
        """
        try:
            content = cast(dict[str, Any], self._texts.read(token))
        except NotOurs as error:
            raise PlanWrong("The plan was not made here, or was changed: make a new one.") from error
        if content["expires"] < now.timestamp():
            raise PlanWrong(f"The plan has expired ({VALID.seconds // 60} minutes after it was made): make a new one.")
        return content


def _sample_of_entries(connection: Connection, selection: Selection, matched: Matched) -> list[SampleItem]:
    """Return the first entries of those that match; an account that one is about is masked."""
    entries = replay_selection.entries(
        connection, selection, behind=matched.behind, through=matched.through, limit=SAMPLE
    )
    found = events.by_ids(connection, [entry.event_id for entry in entries if entry.event_id is not None])
    facts = {event.id: event.facts for event in found}
    about = [search_terms.masked_subject(entry.subject, facts.get(entry.event_id or "", {})) for entry in entries]
    return [
        SampleItem(entry.source_id, entry.type, subject, entry.time)
        for entry, subject in zip(entries, about, strict=True)
    ]


def _sample_of_rejected(connection: Connection, selection: Selection, through: str) -> list[SampleItem]:
    rejected = replay_selection.rejected(connection, selection, behind="", through=through, limit=SAMPLE)
    return [
        SampleItem(delivery.source_id, "delivery.rejected", delivery.id, delivery.received_at) for delivery in rejected
    ]


def _gone(connection: Connection, request: Request, matched: Matched) -> Iterator[str]:
    """Yield in words what retention has removed of what a plan asks for."""
    chosen = request.selection
    begins, oldest = feed.removed(connection), feed.oldest_time(connection)
    is_later = bool(chosen.received_after and oldest and chosen.received_after >= oldest)
    if begins and not is_later:
        since = f"; the first that is stored is of {oldest:%Y-%m-%d %H:%M} UTC" if oldest else ""
        yield f"Entries of the feed up to position {begins} were removed for their age, and can't be sent again{since}."
    if request.target == ReplayTarget.FEED:
        number, is_all = replay_selection.without_payload(connection, chosen, matched.behind, matched.through)
        if number:
            least = "" if is_all else "at least "
            yield f"Of {least}{number} the payload is not stored any more: asked for it, we answer 410 (Gone)."


def _check(request: Request) -> None:
    try:
        reason_given(request.reason)
    except NotPossible as error:
        raise PlanWrong(f"{str(error).capitalize()}.") from error
    if request.target not in TARGETS:
        raise PlanWrong(f"The target is one of: {', '.join(TARGETS)}.")
    if request.consumer is not None and request.target != ReplayTarget.FEED:
        raise PlanWrong("Only a replay to the feed can be for one consumer.")
    if request.consumer is not None and not consumers.is_name(request.consumer):
        raise PlanWrong(f"A consumer's name takes {consumers.NAME_TAKES}.")
    if request.selection.delivery_ids and request.target != ReplayTarget.VERIFICATION:
        raise PlanWrong("Only a rejected delivery is chosen by `delivery_id`: the target is `verification` then.")
    chosen = request.selection
    if request.target == ReplayTarget.VERIFICATION and (
        chosen.types or chosen.payment_ids or chosen.event_ids or chosen.chosen
    ):
        raise PlanWrong("Rejected deliveries have no type, payment or event: choose by source, delivery or time.")


def as_filter(selection: Selection) -> dict[str, Any]:
    """Write a selection as JSON."""
    lists: dict[str, Any] = {
        name: list(values) for name, plural in _LISTS.items() if (values := getattr(selection, plural))
    }
    times = {name: time.isoformat() for name in _TIMES if (time := getattr(selection, name))}
    return lists | times | ({"chosen": selection.chosen} if selection.chosen else {})


def from_filter(written: Mapping[str, Any]) -> Selection:
    """Read what `as_filter` wrote, in an earlier release too: that had one text in the place of most lists."""
    times: dict[str, Any] = {name: datetime.fromisoformat(written[name]) for name in _TIMES if name in written}
    lists: dict[str, Any] = {plural: _several(written[name]) for name, plural in _LISTS.items() if name in written}
    return Selection(**lists, **times, chosen=written.get("chosen", ""))


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
