"""Sending things once more (replays): plan them, start them, stop them."""

from receiver.model import NotFound, NotPossible
from receiver.projection.projector import catch_up
from receiver.replay import run
from receiver.replay.plan import Plan, Planner, Request
from receiver.runtime import Runtime
from receiver.store import replays
from receiver.store.database import retried
from receiver.store.replays import ReplayRecord


def plan(runtime: Runtime, request: Request) -> Plan:
    """Find out what a replay would come to (a dry run); what arrives later is no part of it.

    Raises:
        PlanWrong
        StoreUnavailable
    """
    catch_up(runtime.database)
    with runtime.database.read() as connection:
        return Planner(runtime.settings.keys).plan(connection, request, runtime.clock())


@retried
def start(runtime: Runtime, who: str, plan_token: str) -> ReplayRecord:
    """Start the run of a plan, which workers do; audited as `replay.started`.

    The same plan once more names the same run, and adds nothing to the audit log.

    Raises:
        PlanWrong: it is not one of ours, was changed, or has expired.
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        replay_id = Planner(runtime.settings.keys).start(
            connection, runtime.encryption, plan_token, who, runtime.clock()
        )
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
        found = replays.find(connection, replay_id)
    if found is None:
        raise NotFound(f"there is no replay {replay_id!r}")
    return found


@retried
def cancel(runtime: Runtime, who: str, replay_id: str) -> ReplayRecord:
    """Stop a replay where it stands, and return it; what it has sent stays sent. Audited as `replay.cancelled`.

    Raises:
        NotFound
        NotPossible: it is over already.
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        stopped = run.cancel(connection, runtime.encryption, replay_id, who, runtime.clock())
    found = find(runtime, replay_id)
    if not stopped:
        raise NotPossible(f"the replay {replay_id} is over already")
    return found
