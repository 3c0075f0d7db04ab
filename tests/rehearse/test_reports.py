"""The report: what its numbers stand for, and that what is wrong is what one sees first."""

import json
from pathlib import Path

import pytest

from receiver.rehearse import report
from receiver.rehearse.day import Day, Planned
from receiver.rehearse.faults import Fault, Happened
from receiver.rehearse.rehearsal import Outcome, Plan, memory_over_day
from receiver.rehearse.traffic import Answer, Sent

SECONDS = 96.0
"""A second for each quarter of an hour."""


@pytest.fixture
def outcome() -> Outcome:
    """Four callbacks and a forged one: one was put off during a fault at 10:00."""
    planned = [Planned(at * 3600, "bcb") for at in (1, 10, 11, 12)]
    sent = [Sent(each, each.at / 900, tries=1, taken_at=each.at / 900 + 0.01) for each in planned]
    sent[1].tries, sent[1].taken_at = 2, 43.0
    sent.append(Sent(Planned(0, "bcb", forged=True), 60, tries=1))
    answers = [Answer(4, 0.01, 200, False), Answer(40, 5.0, 503, False), Answer(42.9, 0.1, 200, False)]
    answers += [Answer(44, 0.02, 200, False), Answer(48, 0.03, 200, False), Answer(60, 0.001, 401, True)]
    return Outcome(
        Plan(Day(planned, {"bcb": "bcb"}, "a day"), SECONDS, []),
        "sqlite",
        answers,
        sent,
        happened=[Happened(Fault("database", 36_000), 40.0, 42.0, said="it was away")],
        memory=[(float(at), 60 + at, 40) for at in range(100)],
        left_open={"payments of bcb unconfirmed": 1},
        seen={"callbacks": 4, "replayed": 0},
        entries=4,
        seconds=97.0,
    )


def test_what_was_put_off_and_when_it_went_on(outcome: Outcome) -> None:
    found = report.summary(outcome)
    assert found["ok"]
    callbacks = found["callbacks"]
    assert (callbacks["genuine"], callbacks["forged"], callbacks["taken"], callbacks["recovered"]) == (4, 1, 4, 1)
    assert callbacks["longest_recovery_seconds"] == 3.0
    assert found["answers"]["genuine"] == {"200": 4, "503": 1}
    assert found["answers"]["forged"] == {"401": 1}
    assert found["answers"]["milliseconds"] == {"p50": 30.0, "p99": 5000.0, "slowest": 5000.0}
    assert found["answers"]["slowest"][0] == {"at": "10:00", "status": 503, "milliseconds": 5000.0}
    (fault,) = found["faults"]
    assert (fault["at"], fault["until"], fault["put_off"], fault["back_after_seconds"]) == ("10:00", "10:30", 1, 1.0)
    quarter = found["quarters"][40]
    assert (quarter["at"], quarter["put_off"], quarter["taken"], quarter["slowest"]) == ("10:00", 1, 0, 5000.0)
    assert found["memory"] == {"first_bytes": 114, "middle_bytes": 154, "last_bytes": 194}


def test_what_nobody_answered_is_unknown(outcome: Outcome, tmp_path: Path) -> None:
    outcome.left_open = {"exceptions": None}
    assert report.write(outcome, tmp_path)["left_open"] == {"exceptions": None}
    assert '<td>exceptions</td><td class="figure">unknown</td>' in (tmp_path / "report.html").read_text()


def test_a_few_samples_say_nothing_of_memory() -> None:
    assert memory_over_day([(1.0, 1, 1)] * 9) is None


def test_a_report_of_something_wrong_says_so_first_and_as_text(outcome: Outcome, tmp_path: Path) -> None:
    outcome.wrong = ["1 lost: shop/<script>alert(1)</script>"]
    outcome.lost = ["shop/<script>alert(1)</script>"]
    written = report.write(outcome, tmp_path / "there")
    page = (tmp_path / "there" / "report.html").read_text()
    assert json.loads((tmp_path / "there" / "report.json").read_text()) == written
    assert not written["ok"]
    assert page.index("Something is wrong:") < page.index("1 lost: shop/&lt;script&gt;") < page.index("<svg")
    assert "<script" not in page
    assert "Nothing was lost" not in page


def test_a_rehearsal_of_nothing_has_a_report_too(tmp_path: Path) -> None:
    empty = Outcome(Plan(Day([], {}, "an empty day"), 60.0, []), "sqlite", wrong=["it was ended before its end"])
    found = report.write(empty, tmp_path)
    assert found["answers"]["milliseconds"] == {"p50": None, "p99": None, "slowest": None}
    assert "an empty day" in (tmp_path / "report.html").read_text()
