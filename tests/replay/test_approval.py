"""A large replay waits for a second person; any can be held up and go on."""

from typing import Any

import pytest
from conftest import KEY, StandingClock
from replay.sending import REASON, again, found, planned, runner, started, work_off, write
from sqlalchemy import delete

from receiver.admin import replays as acts
from receiver.admin import retention
from receiver.admin.replays import SecondPersonNeeded
from receiver.model import NotFound, NotPossible
from receiver.projection.projector import index_all
from receiver.replay import run as runs
from receiver.retention.run import Run
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import audit, sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import FeedEntry, table_of

NAMES = [f"e{number}" for number in range(6)]


@pytest.fixture
def settings(database_url: str) -> Settings:
    """More than five wait."""
    return Settings(_env_file=None, secret_keys=KEY, database_url=database_url, replay_approval_above=5)


@pytest.fixture
def waiting(parts: Runtime, source: SourceRecord) -> str:
    """The id of a replay of six entries that `cli:anna` has asked for."""
    write(parts, source, *NAMES)
    return started(parts, planned(parts), who="cli:anna")


def audited(parts: Runtime) -> list[tuple[str, str, dict[str, Any]]]:
    """Who did what about what, oldest first."""
    with parts.database.read() as connection:
        audit.verify(connection, parts.encryption)
        return [(row.who, row.what, row.about) for row in reversed(audit.listing(connection, limit=10))]


def test_more_than_the_set_number_waits_and_as_many_do_not(parts: Runtime, source: SourceRecord, waiting: str) -> None:
    assert found(parts, waiting).state == "awaiting_approval"
    assert work_off(parts) == 0
    assert again(parts) == []
    five = started(parts, planned(parts, payment_ids=NAMES[:5]))
    assert found(parts, five).state == "running"
    write(parts, source, "came later")
    assert work_off(parts) == 1
    assert again(parts) == NAMES[:5]


def test_another_person_starts_it_and_both_are_named(parts: Runtime, waiting: str, clock: StandingClock) -> None:
    clock.forward(86_400)
    approved = acts.approve(parts, "staff:bert", waiting)
    assert (approved.state, approved.requested_by, approved.approved_by) == ("running", "cli:anna", "staff:bert")
    assert approved.approved_at == clock()
    work_off(parts)
    assert again(parts) == NAMES
    about = {"replay": waiting}
    plan = about | {"target": "feed", "filter": {}, "total": 6}
    assert audited(parts) == [
        ("cli:anna", "replay.requested", plan),
        ("staff:bert", "replay.approved", about | {"done": 0, "requested_by": "cli:anna"}),
        ("worker", "replay.done", about | {"done": 6, "failed": 0}),
    ]


def removed(parts: Runtime) -> int:
    """Remove what is due; return how many entries of the feed that were."""
    index_all(parts.database)
    return sum(step.removed for step in Run(parts, parts.clock(), rest=lambda _: None).steps())


def test_what_waits_keeps_retention_from_what_it_may_send(
    parts: Runtime, source: SourceRecord, waiting: str, clock: StandingClock
) -> None:
    with parts.database.write() as connection:
        sources.change(connection, source.id, options={**source.options, "retention_feed_days": 1})
    clock.forward(2 * 86_400)
    assert removed(parts) == 0
    assert retention.status(parts).replay == (waiting, "awaiting_approval", 0)
    acts.cancel(parts, "cli:anna", waiting)
    assert retention.status(parts).replay is None
    assert removed(parts) == 6


def test_what_is_there_no_more_when_it_runs_is_said(parts: Runtime, waiting: str) -> None:
    with parts.database.write() as connection:
        connection.execute(delete(table_of(FeedEntry)).where(table_of(FeedEntry).c.position <= 2))
    acts.approve(parts, "staff:bert", waiting)
    assert found(parts, waiting).missing == 0
    work_off(parts)
    row = found(parts, waiting)
    assert (row.state, row.total, row.done, row.missing) == ("done", 6, 4, 2)
    assert audited(parts)[-1][2] == {"replay": waiting, "done": 4, "failed": 0, "missing": 2}


@pytest.mark.parametrize("who", ["cli:anna", "staff:anna", "staff:Anna"])
def test_whoever_asked_does_not_approve(parts: Runtime, waiting: str, who: str) -> None:
    with pytest.raises(SecondPersonNeeded, match="cli:anna asked for"):
        acts.approve(parts, who, waiting)
    assert found(parts, waiting).state == "awaiting_approval"
    assert [what for _, what, _ in audited(parts)] == ["replay.requested"]


def test_a_token_of_a_person_s_name_is_not_that_person(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, *NAMES)
    asked = started(parts, planned(parts), who="token:anna")
    assert acts.approve(parts, "staff:anna", asked).state == "running"


def test_only_what_waits_is_approved(parts: Runtime, waiting: str) -> None:
    acts.approve(parts, "cli:bert", waiting)
    with pytest.raises(NotPossible, match="is running, and awaits no approval"):
        acts.approve(parts, "cli:carl", waiting)
    with pytest.raises(NotFound):
        acts.approve(parts, "cli:bert", "rpl_none")


def test_what_waits_can_be_turned_down_and_is_not_run_by_its_plan_again(parts: Runtime, waiting: str) -> None:
    with pytest.raises(NotPossible, match="is awaiting approval, and so can't be paused"):
        acts.pause(parts, "cli:bert", waiting)
    assert acts.cancel(parts, "cli:bert", waiting).state == "cancelled"
    with pytest.raises(NotPossible, match="is cancelled"):
        acts.approve(parts, "cli:bert", waiting)
    assert work_off(parts) == 0


@pytest.mark.parametrize("above", [0, 6])
def test_zero_turns_it_off(parts: Runtime, source: SourceRecord, above: int) -> None:
    write(parts, source, *NAMES)
    settings = parts.settings.model_copy(update={"replay_approval_above": above})
    free = Runtime(settings, parts.database, parts.encryption, parts.clock)
    assert acts.start(free, "cli:anna", planned(parts).token).state == "running"


def test_a_paused_replay_goes_on_where_it_stood(
    parts: Runtime, waiting: str, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PART", 2)
    acts.approve(parts, "cli:bert", waiting)
    runner(parts).run_due()
    paused = acts.pause(parts, "staff:anna", waiting)
    assert (paused.state, paused.done) == ("paused", 2)
    with pytest.raises(NotPossible, match="is paused"):
        acts.pause(parts, "staff:anna", waiting)
    clock.forward(3600)
    assert work_off(parts) == 0
    assert acts.resume(parts, "staff:anna", waiting).state == "running"
    with pytest.raises(NotPossible, match="is running, and so can't be resumed"):
        acts.resume(parts, "staff:anna", waiting)
    work_off(parts)
    assert again(parts) == NAMES
    assert [what for _, what, _ in audited(parts)][2:] == ["replay.paused", "replay.resumed", "replay.done"]
    assert found(parts, waiting).reason == REASON


def test_a_paused_replay_can_be_cancelled(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    replay_id = started(parts, planned(parts))
    acts.pause(parts, "cli:anna", replay_id)
    assert acts.cancel(parts, "cli:anna", replay_id).state == "cancelled"
    with pytest.raises(NotPossible, match="over already"):
        acts.cancel(parts, "cli:anna", replay_id)


def test_the_list_goes_on_and_is_filtered_by_state(parts: Runtime, waiting: str, clock: StandingClock) -> None:
    ids = [waiting]
    for _ in range(3):
        clock.forward(1)
        ids.append(started(parts, planned(parts, payment_ids=["e1"])))
    acts.cancel(parts, "cli:anna", ids[3])
    listed = [row.id for row in acts.listing(parts, limit=3)]
    assert listed == ids[:0:-1]
    assert [row.id for row in acts.listing(parts, below=listed[-1], limit=3)] == [waiting]
    states = ["awaiting_approval", "cancelled"]
    assert [row.id for row in acts.listing(parts, states=states, limit=9)] == [ids[3], waiting]
