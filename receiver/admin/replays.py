"""Sending things once more (replays): plan them, start, approve, pause and stop them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection

from receiver.admin import search
from receiver.model import NotFound, NotPossible, OwnType, ReplayState, ReplayTarget
from receiver.projection.projector import catch_up
from receiver.replay.plan import Plan, Planner, PlanWrong, Request
from receiver.runtime import Runtime
from receiver.store import audit, consumers, replay_selection, replays, search_questions, search_terms, sources
from receiver.store.database import retried
from receiver.store.records import lowest_id, new_id
from receiver.store.replay_selection import Selection
from receiver.store.replays import ReplayRecord
from receiver.store.search import Wanted

CHOSEN_MAX = 50_000
"""Events that one plan takes from a search."""

CHOSEN_FOR = timedelta(hours=1)
"""How long it is known what a plan has chosen that nobody runs: a plan is good for less."""

ASKS_NOTHING = "A search without a letter or digit finds everything: leave it out if that is meant."

PERSONAL = ("question", "account", "reference")
"""What may be searched for that is not written down whole."""

_PEOPLE = ("cli", "staff")
"""Who acts in one's own name, on the command line or on the pages."""


class SecondPersonNeeded(NotPossible):
    """Whoever asked for a replay is not the one who approves it (four-eyes principle)."""


def plan(runtime: Runtime, request: Request) -> Plan:
    """Find out what a replay would come to (a dry run); what arrives later is no part of it.

    In the sample all but the last four characters of an account's number are hidden, as in lists.

    Raises:
        PlanWrong
        StoreUnavailable
    """
    catch_up(runtime.database)
    with runtime.database.read() as connection:
        return planner(runtime).plan(connection, request, runtime.clock())


def planner(runtime: Runtime) -> Planner:
    """Return what makes, reads and starts plans by a process's settings."""
    return Planner(runtime.settings.keys, runtime.settings.replay_approval_above)


class Choices(NamedTuple):
    """What a plan can be for."""

    sources: Mapping[int, str]
    """Names by the number that a plan's sample has."""
    consumers: Sequence[str]


def choices(runtime: Runtime) -> Choices:
    """Return the names of the sources and consumers that there are.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return Choices(sources.names(connection), sorted(consumers.names(connection)))


def plan_found(runtime: Runtime, wanted: Wanted, request: Request, *, spares_private: bool = False) -> Plan:
    """Plan to send again all that a search finds; the request's own selection does not count.

    `spares_private` as in `search.find_events`.

    What takes no index to be found is selected by its filters; anything else is noted one by one, as it is found now.
    Types and times are those of the entries: what asking the bank has shown of an event has others than the event.

    Raises:
        PlanWrong: the search finds more than `CHOSEN_MAX` events, or has a question that asks nothing; or the request
            is for rejected deliveries.
        StoreUnavailable
    """
    # A list shows all then; an act is not to do all because a variable was empty.
    if wanted.question and search_questions.is_blank(wanted.question):
        raise PlanWrong(ASKS_NOTHING)
    if not search.is_search(wanted) and wanted.late is None:
        return plan(runtime, replace(request, selection=_plain(wanted)))
    if request.target == ReplayTarget.VERIFICATION or request.selection.delivery_ids:
        raise PlanWrong("A search finds events: rejected deliveries are chosen by source, delivery or time.")
    catch_up(runtime.database)
    chosen = Selection(sources=wanted.source, chosen=_chosen(runtime, wanted, spares_private))
    return plan(runtime, replace(request, selection=chosen, search=_described(wanted)))


def _plain(wanted: Wanted) -> Selection:
    return Selection(
        sources=wanted.source,
        types=wanted.type,
        payment_ids=wanted.payment_id,
        event_ids=wanted.event_id,
        received_after=wanted.received_after,
        received_before=wanted.received_before,
    )


def _chosen(runtime: Runtime, wanted: Wanted, spares_private: bool) -> str:
    """Note what a search finds, page by page, and return the id of the plan that it is noted for."""
    now = runtime.clock()
    within = Selection(types=wanted.type, received_after=wanted.received_after, received_before=wanted.received_before)
    plan_id, number = new_id("pln", now), 0
    _forget_chosen(runtime, lowest_id("pln", now - CHOSEN_FOR))
    wider = _events_of(wanted)
    for found in search.pages(runtime, wider, limit=CHOSEN_MAX + 1, spares_private=spares_private):
        if found.older_left:
            text = f"about {found.older_left} events of before the upgrade are not searched yet"
            raise PlanWrong(f"The search would leave some out: {text}. Plan it once the worker has indexed them.")
        number += len(found.events)
        if number > CHOSEN_MAX:
            raise PlanWrong(
                f"The search finds more than {CHOSEN_MAX} events: narrow it, by a bank's type for instance."
            )
        if found.events:
            _choose(runtime, plan_id, [event.id for event in found.events], within)
    return plan_id


def _events_of(wanted: Wanted) -> Wanted:
    """Return what to search for so that no event is left out of which an entry may be wanted.

    An entry of a bank's type has the type and the time of its event; one of ours neither, but it is never older.
    """
    if wanted.type and not set(wanted.type) & set(OwnType):
        return wanted
    return replace(wanted, type=(), received_after=None)


@retried
def _forget_chosen(runtime: Runtime, below: str) -> None:
    with runtime.database.write() as connection:
        replay_selection.forget_chosen(connection, below)


@retried
def _choose(runtime: Runtime, plan_id: str, event_ids: Sequence[str], within: Selection) -> None:
    with runtime.database.write() as connection:
        replay_selection.choose(connection, plan_id, event_ids, within)


def _described(wanted: Wanted) -> dict[str, Any]:
    """Say what was searched for as JSON; of what may be personal the last four characters."""
    given = {name: value for name, value in asdict(wanted).items() if value not in ("", (), [], None)}
    return {"q" if name == "question" else name: _written(name, value) for name, value in given.items()}


def _written(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_written(name, each) for each in value]
    if name in PERSONAL:
        return search_terms.masked(str(value))
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, bool) else f"{value:f}" if isinstance(value, Decimal) else str(value)


@retried
def start(runtime: Runtime, who: str, plan_token: str) -> ReplayRecord:
    """Start the run of a plan, which workers do; audited as `replay.started`.

    One of more than RECEIVER_REPLAY_APPROVAL_ABOVE waits for a second person, whoever asks: audited as
    `replay.requested`. The same plan once more names the same run, and adds nothing to the audit log.

    Raises:
        PlanWrong: it is not one of ours, was changed, or has expired.
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        replay_id = planner(runtime).start(connection, runtime.encryption, plan_token, who, runtime.clock())
        found = replays.find(connection, replay_id)
        assert found is not None  # noqa: S101 - started above, in this transaction
        return found


def find(runtime: Runtime, replay_id: str) -> ReplayRecord:
    """Return a replay and how far it has come.

    Raises:
        NotFound
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return _find(connection, replay_id)


def _find(connection: Connection, replay_id: str) -> ReplayRecord:
    found = replays.find(connection, replay_id)
    if found is None:
        raise NotFound(f"there is no replay {replay_id!r}")
    return found


def listing(
    runtime: Runtime, *, states: Sequence[str] = (), below: str | None = None, limit: int
) -> list[ReplayRecord]:
    """Return replays, newest first, of any of these states; `below` is the id to go on from.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return replays.listing(connection, states=states, below=below, limit=limit)


def is_same_person(who: str, other: str) -> bool:
    """Tell whether two names of the audit log are one person's: a user's of the machine, or of the staff pages."""
    return _person(who) == _person(other)


def _person(who: str) -> str:
    kind, _, name = who.partition(":")
    return name.casefold() if kind in _PEOPLE else who


@retried
def approve(runtime: Runtime, who: str, replay_id: str) -> ReplayRecord:
    """Start a replay that awaits approval, as another person than the one who asked; audited as `replay.approved`.

    Raises:
        NotFound
        NotPossible: it does not await approval.
        SecondPersonNeeded
        StoreUnavailable
    """
    asked = find(runtime, replay_id)
    if asked.state == ReplayState.AWAITING_APPROVAL and is_same_person(who, asked.requested_by):
        raise SecondPersonNeeded(
            f"{asked.requested_by} asked for the replay {replay_id}; somebody else has to approve it"
        )
    about = {"requested_by": asked.requested_by}
    return _act(
        runtime,
        who,
        replay_id,
        "replay.approved",
        lambda connection, now: replays.approve(connection, replay_id, who, now),
        "the replay {id} is {state}, and awaits no approval",
        about,
    )


@retried
def pause(runtime: Runtime, who: str, replay_id: str) -> ReplayRecord:
    """Stop a running replay until somebody resumes it, and return it; audited as `replay.paused`.

    Raises:
        NotFound
        NotPossible: it is not running.
        StoreUnavailable
    """
    return _act(
        runtime,
        who,
        replay_id,
        "replay.paused",
        lambda connection, _: replays.pause(connection, replay_id),
        "the replay {id} is {state}, and so can't be paused",
    )


@retried
def resume(runtime: Runtime, who: str, replay_id: str) -> ReplayRecord:
    """Let a paused replay go on, and return it; audited as `replay.resumed`.

    Raises:
        NotFound
        NotPossible: it is not paused.
        StoreUnavailable
    """
    return _act(
        runtime,
        who,
        replay_id,
        "replay.resumed",
        lambda connection, now: replays.resume(connection, replay_id, now),
        "the replay {id} is {state}, and so can't be resumed",
    )


@retried
def cancel(runtime: Runtime, who: str, replay_id: str) -> ReplayRecord:
    """Stop a replay where it stands, and return it; what it has sent stays sent. Audited as `replay.cancelled`.

    Raises:
        NotFound
        NotPossible: it is over already.
        StoreUnavailable
    """
    return _act(
        runtime,
        who,
        replay_id,
        "replay.cancelled",
        lambda connection, now: replays.cancel(connection, replay_id, now),
        "the replay {id} is over already",
    )


def _act(
    runtime: Runtime,
    who: str,
    replay_id: str,
    what: str,
    change: Callable[[Connection, datetime], bool],
    impossible: str,
    about: Mapping[str, Any] | None = None,
) -> ReplayRecord:
    """Change a replay's state and write that down, in one transaction; return the replay."""
    now = runtime.clock()
    with runtime.database.write() as connection:
        changed = change(connection, now)
        found = _find(connection, replay_id)
        if not changed:
            raise NotPossible(impossible.format(id=replay_id, state=found.state.replace("_", " ")))
        noted = {"replay": replay_id, "done": found.done, **(about or {})}
        audit.write(connection, runtime.encryption, at=now, who=who, what=what, why=found.reason, about=noted)
    return found
