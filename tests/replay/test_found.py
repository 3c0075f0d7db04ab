"""All that a search finds is sent again as it was found, whatever is found later."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock
from replay.sending import REASON, again, log, post, started, work_off, write
from store.made import delivery, event, record

from receiver.admin import replays as acts
from receiver.replay.plan import PlanWrong, Request
from receiver.runtime import Runtime
from receiver.store import audit, outbox
from receiver.store.replay_selection import Selection
from receiver.store.search import Wanted
from receiver.store.sources import SourceRecord

ASKED = Request(Selection(), REASON)


def money(amount: int) -> dict[str, str]:
    return {"amount": f"{amount}.00", "currency": "USD"}


@pytest.fixture
def told(parts: Runtime, source: SourceRecord, bank: BankSigner) -> None:
    """Four payments: two of 10.00, two of 20.00."""
    for number, amount in enumerate((10, 20, 10, 20)):
        assert post(parts, bank.sign(deposit(transactionId=f"FT{number}", value=money(amount)))) == 200
    write(parts, source, "of no event")


def chosen_rows(parts: Runtime) -> int:
    with parts.database.read() as connection:
        number: int = connection.exec_driver_sql("SELECT count(*) FROM replay_positions").scalar_one()
    return number


@pytest.mark.usefixtures("told")
def test_what_a_search_finds_is_sent_again_and_what_it_finds_later_is_not(parts: Runtime, bank: BankSigner) -> None:
    wanted = Wanted(amount_min=Decimal(10), amount_max=Decimal(10))
    plan = acts.plan_found(parts, wanted, ASKED)
    assert (plan.matched.number, [row.subject for row in plan.sample]) == (2, ["FT0", "FT2"])
    post(parts, bank.sign(deposit(transactionId="FT9", value=money(10))))
    started(parts, plan)
    work_off(parts)
    assert again(parts) == ["FT0", "FT2"]
    # Copies are found too, and not copied.
    assert acts.plan_found(parts, wanted, ASKED).matched.number == 3


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("question", ["  ", "\u200b", "\u2013", "€", "()"])
def test_a_question_that_asks_nothing_is_refused_whatever_stands_beside_it(parts: Runtime, question: str) -> None:
    with pytest.raises(PlanWrong, match="without a letter"):
        acts.plan_found(parts, Wanted(question, source=("bcb",)), ASKED)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("wanted", "number"),
    [({"source": ("bcb",)}, 5), ({"payment_id": ("FT1",)}, 1), ({"late": True}, 0), ({"question": "FT3"}, 1)],
)
def test_plain_filters_need_no_list(parts: Runtime, wanted: dict[str, Any], number: int) -> None:
    assert acts.plan_found(parts, Wanted(**wanted), ASKED).matched.number == number
    assert chosen_rows(parts) == (1 if "question" in wanted else 0)


def test_a_job_is_found_by_its_id_as_what_entries_are_about_or_as_what_is_searched_for(
    parts: Runtime, source: SourceRecord
) -> None:
    record(
        parts, delivery(parts, source), event(parts, "job-77", kind="job", payment_id=None, type="bcb.job.completed")
    )
    for wanted in ({"payment_id": ("job-77",)}, {"question": "job-77"}):
        assert acts.plan_found(parts, Wanted(**wanted), ASKED).matched.number == 1


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("chosen", "types"),
    [
        ({}, ["bcb.deposit", "payment.status_changed"]),
        ({"type": ("bcb.deposit",)}, ["bcb.deposit"]),
        ({"type": ("payment.status_changed",)}, ["payment.status_changed"]),
        ({"type": ("bcb.deposit", "payment.status_changed")}, ["bcb.deposit", "payment.status_changed"]),
        ({"type": ("bcb.debit",)}, []),
        ({"received_before": 1}, ["bcb.deposit"]),
        ({"received_after": 1}, ["payment.status_changed"]),
        ({"received_after": 0, "received_before": 3}, ["bcb.deposit", "payment.status_changed"]),
        ({"type": ("bcb.deposit",), "received_after": 0}, ["bcb.deposit"]),
        ({"type": ("bcb.deposit",), "received_after": 1}, []),
        ({"type": ("payment.status_changed",), "received_before": 1}, []),
    ],
)
def test_of_what_a_search_finds_the_entries_of_the_types_and_times_are_sent_again(
    parts: Runtime, source: SourceRecord, clock: StandingClock, chosen: dict[str, Any], types: list[str]
) -> None:
    """An event has an entry of its own, and later ones of what asking the bank has shown."""
    began, (event_id,) = clock(), [entry.event_id for entry in log(parts) if entry.subject == "FT1"]
    clock.forward(2 * 3600)
    with parts.database.write() as connection:
        changed: dict[str, Any] = {"type": "payment.status_changed", "subject": "FT1", "event_id": event_id}
        outbox.append(connection, source_id=source.id, data={}, now=clock(), **changed)
    given: dict[str, Any] = {
        name: value if isinstance(value, tuple) else began + timedelta(hours=value) for name, value in chosen.items()
    }
    plan = acts.plan_found(parts, Wanted(question="FT1", **given), ASKED)
    assert (plan.matched.number, [row.type for row in plan.sample]) == (len(types), types)
    started(parts, plan)
    work_off(parts)
    assert [entry.type for entry in log(parts) if entry.replay_id] == types


@pytest.mark.usefixtures("told")
def test_of_what_was_searched_for_nothing_personal_is_written_down(parts: Runtime) -> None:
    wanted = Wanted(question="FT1", account=("DE02120300000000202051",), amount_min=Decimal("9.50"), conflict=False)
    replay = acts.start(parts, "cli:anna", acts.plan_found(parts, wanted, ASKED).token)
    with parts.database.read() as connection:
        (entry,) = audit.listing(connection, limit=10)
    search = {"q": "…", "account": ["…2051"], "amount_min": "9.50", "conflict": False}
    assert entry.about["filter"]["search"] == replay.filter["search"] == search


@pytest.mark.usefixtures("told")
def test_a_search_that_finds_too_many_is_refused(parts: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "CHOSEN_MAX", 3)
    with pytest.raises(PlanWrong, match="more than 3 events"):
        acts.plan_found(parts, Wanted(currency=("USD",)), ASKED)


@pytest.mark.usefixtures("source")
def test_rejected_deliveries_are_not_searched(parts: Runtime) -> None:
    with pytest.raises(PlanWrong):
        acts.plan_found(parts, Wanted(question="x"), replace(ASKED, target="verification"))


@pytest.mark.usefixtures("told")
def test_what_a_plan_chose_is_forgotten_unless_its_run_goes_on(parts: Runtime, clock: StandingClock) -> None:
    wanted = Wanted(question="FT1")
    plans = [acts.plan_found(parts, wanted, ASKED) for _ in range(3)]
    assert chosen_rows(parts) == 3
    open_one, over = (acts.start(parts, "cli:anna", plan.token).id for plan in plans[:2])
    acts.cancel(parts, "cli:anna", over)
    acts.pause(parts, "cli:anna", open_one)
    clock.forward(timedelta(hours=2).total_seconds())
    acts.plan_found(parts, wanted, ASKED)
    assert chosen_rows(parts) == 2
    acts.resume(parts, "cli:anna", open_one)
    work_off(parts)
    assert again(parts) == ["FT1"]
