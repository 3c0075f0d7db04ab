"""Plans: what a replay comes to, and that exactly this is run."""

import random
from datetime import timedelta
from typing import Any

import pytest
from conftest import StandingClock, add_source
from replay.sending import REASON, again, found, planned, run, started, work_off, write

from receiver.admin import replays as acts
from receiver.replay.plan import SAMPLE, VALID, Planner, PlanWrong
from receiver.runtime import Runtime
from receiver.store import replay_selection
from receiver.store.sources import SourceRecord


def test_a_plan_says_how_many_and_from_when_to_when(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    begin = clock()
    for name in "abc":
        write(parts, source, name)
        clock.forward(60)
    plan = planned(parts)
    assert plan.matched == replay_selection.Matched(3, begin, begin + timedelta(seconds=120), 0, 3)
    assert [row.subject for row in plan.sample] == ["a", "b", "c"]
    assert plan.expires_at == clock() + VALID


def test_a_plan_that_matches_nothing_says_so_and_can_be_run(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    assert planned(parts, types=["test.other"]).matched == replay_selection.Matched(0, None, None)
    assert run(parts, types=["test.other"]).state == "done"
    assert again(parts) == []


def test_all_of_a_time_is_planned_and_sent_where_the_clock_was_set_back(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    begin = clock()
    for name in "abcdef":
        write(parts, source, name)
        clock.forward(600)
    clock.forward(-3600)
    write(parts, source, *(f"early{number}" for number in range(12)))
    span: dict[str, Any] = {
        "received_after": begin + timedelta(minutes=20),
        "received_before": begin + timedelta(minutes=50),
    }
    plan = planned(parts, **span)
    assert plan.matched.number == 3
    assert [item.subject for item in plan.sample] == ["c", "d", "e"]
    assert run(parts, **span).done == 3
    assert again(parts) == ["c", "d", "e"]


def test_a_run_looks_at_nothing_before_the_first_or_after_the_last_entry_of_its_plan(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    """Which it would do under a lock that callbacks wait for."""
    begin = clock()
    for name in "abcdef":
        write(parts, source, name)
        clock.forward(60)
    span: dict[str, Any] = {
        "received_after": begin + timedelta(minutes=2),
        "received_before": begin + timedelta(minutes=4),
    }
    replay = found(parts, started(parts, planned(parts, **span)))
    assert (replay.place, replay.through) == ("2", "4")


def test_the_sample_is_small(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, *(f"e{number}" for number in range(30)))
    assert [row.subject for row in planned(parts).sample] == [f"e{number}" for number in range(SAMPLE)]


def test_planning_sends_nothing(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    planned(parts)
    assert work_off(parts) == 0
    assert again(parts) == []


@pytest.mark.parametrize("reason", ["", "  ", "\n", "x" * 501])
@pytest.mark.usefixtures("source")
def test_a_reason_is_required(parts: Runtime, reason: str) -> None:
    with pytest.raises(PlanWrong, match="reason"):
        planned(parts, reason=reason)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"target": "nowhere"}, "target"),
        ({"target": "bank", "consumer": "ledger"}, "consumer"),
        ({"target": "verification", "consumer": "ledger"}, "consumer"),
        ({"consumer": "not a name"}, "name"),
        ({"delivery_ids": ["dlv_1"]}, "delivery_id"),
        ({"target": "bank", "delivery_ids": ["dlv_1"]}, "delivery_id"),
        ({"target": "verification", "types": ["bcb.deposit"]}, "Rejected deliveries"),
        ({"target": "verification", "payment_ids": ["FT1"]}, "Rejected deliveries"),
        ({"target": "verification", "event_ids": ["evt_1"]}, "Rejected deliveries"),
    ],
)
@pytest.mark.usefixtures("source")
def test_what_does_not_fit_together_is_refused(parts: Runtime, request_: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanWrong, match=says):
        planned(parts, **request_)


def test_each_filter_narrows_it(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    other = add_source(parts, "other")
    begin = clock()
    write(parts, source, "a", "b")
    clock.forward(60)
    write(parts, source, "c", kind="test.other")
    clock.forward(60)
    write(parts, other, "a")
    minute = timedelta(seconds=60)
    for selection, expected in (
        ({"sources": ("bcb",)}, 3),
        ({"sources": ("bcb", "other")}, 4),
        ({"sources": ("unknown",)}, 0),
        ({"types": ("test.other",)}, 1),
        ({"payment_ids": ("a",)}, 2),
        ({"event_ids": ("b",)}, 1),
        ({"sources": ("bcb",), "payment_ids": ("a", "c")}, 2),
        ({"received_after": begin + minute}, 2),
        ({"received_before": begin + minute}, 2),
        ({"received_after": begin + minute, "received_before": begin + 2 * minute}, 1),
    ):
        assert planned(parts, **selection).matched.number == expected, selection
        before = len(again(parts))
        row = run(parts, **selection)
        assert (row.total, row.done, len(again(parts)) - before) == (expected, expected, expected)


def test_what_arrives_after_the_plan_is_no_part_of_it(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    plan = planned(parts)
    write(parts, source, "late")
    replay_id = started(parts, plan)
    write(parts, source, "later")
    work_off(parts)
    assert again(parts) == ["a", "b"]
    assert found(parts, replay_id).done == plan.matched.number == 2


def test_replays_of_replays_are_not_matched(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a", "b")
    run(parts)
    assert planned(parts).matched.number == 2
    run(parts)
    assert again(parts) == ["a", "b", "a", "b"]


def test_the_same_plan_again_names_the_same_run(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    write(parts, source, "a")
    plan = planned(parts)
    first = started(parts, plan)
    work_off(parts)
    clock.forward(60)
    assert started(parts, plan, who="token:another") == first
    work_off(parts)
    assert again(parts) == ["a"]
    assert found(parts, first).requested_by == "token:app"


def test_two_plans_of_the_same_are_two_runs(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    assert started(parts, planned(parts)) != started(parts, planned(parts))


def test_a_plan_changed_by_one_character_is_refused(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    token = planned(parts).token
    chance = random.Random(3)  # noqa: S311 - the same changes each time
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!"
    planner = acts.planner(parts)
    for place in range(len(token)):
        # At the end all of them: Base64 spells the same bytes in several ways there.
        others = letters if place == len(token) - 1 else chance.sample(letters, 4)
        for letter in others:
            if letter != token[place]:
                with pytest.raises(PlanWrong, match="changed"):
                    planner.read(token[:place] + letter + token[place + 1 :], parts.clock())
    for changed in (token[1:], token[:-1], token + "A", token + "=", token[:40] + "!" + token[40:], "", "."):
        with pytest.raises(PlanWrong, match="changed"):
            planner.read(changed, parts.clock())
    assert planner.read(token, parts.clock())["reason"] == REASON


def test_a_plan_of_another_key_is_refused(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    with pytest.raises(PlanWrong, match="changed"):
        Planner(["B" * 43 + "="], 0).read(planned(parts).token, parts.clock())


def test_a_plan_outlives_a_new_key_in_front(parts: Runtime, source: SourceRecord) -> None:
    write(parts, source, "a")
    token = planned(parts).token
    assert Planner(["B" * 43 + "=", *parts.settings.keys], 0).read(token, parts.clock())["total"] == 1


def test_a_plan_expires(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    write(parts, source, "a")
    plan = planned(parts)
    clock.forward(VALID.total_seconds())
    started(parts, plan)
    clock.forward(0.001)
    with pytest.raises(PlanWrong, match="expired"):
        started(parts, plan)
