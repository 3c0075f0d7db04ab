"""The report of a rehearsal: `report.json` for programs, `report.html` for people, whole in one file each."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from receiver import __version__
from receiver.rehearse.faults import Happened
from receiver.rehearse.rehearsal import Outcome, memory_over_day
from receiver.rehearse.traffic import Answer

BUCKETS = 96
"""A quarter of an hour of the day each."""

SLOWEST = 10
LOG_LINES = 40
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 960, 200, 68, 20, 24, 12
"""Of a chart, in the units of its SVG; what is around it is for the axes."""


def summary(outcome: Outcome) -> dict[str, Any]:
    """Return the report as JSON can hold it; times of the day are `HH:MM`, all else says its unit."""
    plan = outcome.plan
    genuine = [answer for answer in outcome.answers if not answer.forged]
    taken = [sent for sent in outcome.sent if sent.taken_at is not None and not sent.planned.forged]
    recovered = [sent for sent in taken if sent.tries > 1]
    answered = [answer.seconds for answer in genuine if answer.status is not None]
    things = {(sent.planned.source, subject) for sent in taken for subject in sent.subjects}
    memory = memory_over_day(outcome.memory) or (None, None, None)
    return {
        "receiver": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "ok": not outcome.wrong,
        "wrong": outcome.wrong,
        "interrupted": outcome.interrupted,
        "day": plan.day.about,
        "sources": dict(plan.day.banks),
        "database": outcome.database,
        "processes": plan.processes,
        "seconds": {"day": plan.seconds, "whole": round(outcome.seconds, 1)},
        "callbacks": {
            "genuine": sum(not sent.planned.forged for sent in outcome.sent),
            "forged": sum(sent.planned.forged for sent in outcome.sent),
            "repeated_by_bank": sum(sent.planned.repeats for sent in outcome.sent),
            "things_told": len(things),
            "taken": len(taken),
            "not_taken": outcome.open,
            "recovered": len(recovered),
            "longest_recovery_seconds": round(max((_wait(sent) for sent in recovered), default=0.0), 1),
            "behind_seconds": round(outcome.behind_seconds, 2),
        },
        "lost": {"number": len(outcome.lost), "names": outcome.lost[:100]},
        "doubled": {"number": len(outcome.doubled), "names": outcome.doubled[:100]},
        "answers": {
            "genuine": _statuses(genuine),
            "forged": _statuses([answer for answer in outcome.answers if answer.forged]),
            "milliseconds": _quantiles(answered),
            "slowest": [_slow(answer, plan.seconds) for answer in _slowest(genuine)],
        },
        "feed": {"entries": outcome.entries, **outcome.seen},
        "faults": [_fault(each, outcome) for each in outcome.happened],
        "left_open": outcome.left_open,
        "restarts": outcome.restarts,
        "memory": dict(zip(("first_bytes", "middle_bytes", "last_bytes"), memory, strict=True)),
        "quarters": _quarters(outcome),
        "memory_over_time": [[round(at, 1), web, worker] for at, web, worker in outcome.memory],
        "log": outcome.log.splitlines()[-LOG_LINES:],
    }


def _wait(sent: Any) -> float:
    found: float = sent.taken_at - sent.due
    return found


def _statuses(answers: Sequence[Answer]) -> dict[str, int]:
    """Return how often each status came; `none` is no answer at all."""
    return dict(sorted(Counter(str(answer.status or "none") for answer in answers).items()))


def _quantiles(seconds: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(seconds)
    if not ordered:
        return {"p50": None, "p99": None, "slowest": None}

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] * 1000, 1)

    return {"p50": at(0.5), "p99": at(0.99), "slowest": at(1.0)}


def _slowest(answers: Sequence[Answer]) -> list[Answer]:
    came = [answer for answer in answers if answer.status is not None]
    return sorted(came, key=lambda answer: answer.seconds, reverse=True)[:SLOWEST]


def _slow(answer: Answer, seconds: float) -> dict[str, Any]:
    at = hour_of(answer.at, seconds)
    return {"at": at, "status": answer.status, "milliseconds": round(answer.seconds * 1000, 1)}


def hour_of(at: float, seconds: float) -> str:
    """Return the time of the day that a second of the rehearsal stands for; behind the day's end `24:00` and more."""
    minutes = int(at / seconds * 24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _fault(each: Happened, outcome: Outcome) -> dict[str, Any]:
    """Return one fault, and how callbacks went on behind it."""
    genuine = [answer for answer in outcome.answers if not answer.forged]
    put_off = sum(
        each.began <= answer.at <= each.ended and (answer.status is None or answer.status >= 400) for answer in genuine
    )
    behind = [
        answer.at + answer.seconds for answer in genuine if answer.at >= each.ended and answer.status in range(200, 300)
    ]
    back = min(behind) - each.ended if behind else None
    return {
        "kind": each.fault.kind,
        "at": hour_of(each.began, outcome.plan.seconds),
        "until": hour_of(each.ended, outcome.plan.seconds),
        "seconds": round(each.ended - each.began, 1),
        "state": each.state,
        "said": each.said,
        "put_off": put_off,
        "back_after_seconds": None if back is None or each.state == "left out" else round(back, 2),
    }


def _quarters(outcome: Outcome) -> list[dict[str, Any]]:
    width = outcome.plan.seconds / BUCKETS
    found: list[list[Answer]] = [[] for _ in range(BUCKETS)]
    for answer in outcome.answers:
        # What is still open when the day is over belongs to its end.
        found[min(BUCKETS - 1, int(answer.at / width))].append(answer)
    rows = []
    for index, answers in enumerate(found):
        kinds = Counter(_kind(answer) for answer in answers)
        came = [answer.seconds for answer in answers if answer.status is not None and not answer.forged]
        at = hour_of(index * width, outcome.plan.seconds)
        rows.append({"at": at, **{kind: kinds[kind] for kind in ANSWERS}, **_quantiles(came)})
    return rows


ANSWERS = ("taken", "put_off", "refused", "no_answer", "other")
"""Kinds of answers: 2xx, 503, 401, none at all, and what should never come."""


def _kind(answer: Answer) -> str:
    if answer.status is None:
        return "no_answer"
    if answer.status in range(200, 300):
        return "taken"
    return {503: "put_off", 401: "refused"}.get(answer.status, "other")


def write(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """Write both files into a folder, which is made; return the summary.

    Raises:
        OSError
    """
    found = summary(outcome)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "report.html").write_text(as_html(found), encoding="utf-8")
    return found


def as_html(found: dict[str, Any]) -> str:
    """Return a summary as one page, which loads nothing from elsewhere and runs no script."""
    loader = PackageLoader("receiver.rehearse", "templates")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    quarters, day = found["quarters"], found["seconds"]["day"]
    counts = _stack(quarters, ("taken", "put_off", "refused", "no_answer", "other"))
    times = _lines(quarters, ("p50", "p99", "slowest"))
    memory = _memory(found["memory_over_time"], day)
    marks = [
        Mark(_x(_minutes(each["at"]) / (24 * 60)), _x(_minutes(each["until"]) / (24 * 60)), index, each["kind"])
        for index, each in enumerate(found["faults"], start=1)
        if each["state"] != "left out"
    ]
    hours = [(_x(hour / 24), f"{hour:02d}:00") for hour in range(0, 25, 3)]
    drawn = {"counts": counts, "times": times, "memory": memory, "marks": marks, "hours": hours}
    size = {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bottom": HEIGHT - BOTTOM,
        "top": TOP,
    }
    return pages.get_template("report.html").render(found=found, size=size, **drawn)


@dataclass(frozen=True)
class Mark:
    """A fault in a chart: from where to where, and its number in the list."""

    x: float
    until: float
    number: int
    kind: str


@dataclass(frozen=True)
class Drawn:
    """Shapes of a chart, by what they are about, and the labels of its upright axis with their places."""

    shapes: list[tuple[str, str]]
    labels: list[tuple[float, str]]


def _x(share: float) -> float:
    return round(LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - min(1.0, max(0.0, share)) * (HEIGHT - BOTTOM - TOP), 1)


def _minutes(hour: str) -> int:
    hours, _, minutes = hour.partition(":")
    return int(hours) * 60 + int(minutes)


def _stack(rows: Sequence[dict[str, Any]], kinds: Sequence[str]) -> Drawn:
    """Draw numbers as bars that stand on one another."""
    most = max(1, max(sum(row[kind] for kind in kinds) for row in rows))
    shapes = []
    below = [0] * len(rows)
    for kind in kinds:
        path = ""
        for index, row in enumerate(rows):
            if row[kind]:
                left, right = _x(index / len(rows)), _x((index + 0.85) / len(rows))
                low, high = _y(below[index] / most), _y((below[index] + row[kind]) / most)
                path += f"M{left} {low}V{high}H{right}V{low}Z"
                below[index] += row[kind]
        shapes.append((kind, path))
    return Drawn(shapes, [(_y(share), f"{most * share:.0f}") for share in (0, 0.5, 1)])


def _lines(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Drawn:
    """Draw milliseconds as lines, each power of ten as high as the one before."""
    most = max([10.0, *(row[name] for row in rows for name in names if row[name])])
    powers = math.ceil(math.log10(most))
    shapes = []
    for name in names:
        path, is_open = "", False
        for index, row in enumerate(rows):
            if row[name] is None:
                is_open = False
                continue
            share = math.log10(max(1.0, row[name])) / powers
            path += f"{'L' if is_open else 'M'}{_x((index + 0.5) / len(rows))} {_y(share)}"
            is_open = True
        shapes.append((name, path))
    return Drawn(shapes, [(_y(power / powers), f"{10**power:,} ms") for power in range(powers + 1)])


def _memory(samples: Sequence[Sequence[float]], day: float) -> Drawn:
    most = max([1.0, *(size for row in samples for size in row[1:])]) * 1.1
    shapes = []
    for column, name in enumerate(("web", "worker"), start=1):
        points = [f"{_x(row[0] / day)} {_y(row[column] / most)}" for row in samples if row[0] <= day]
        shapes.append((name, f"M{'L'.join(points)}" if points else ""))
    return Drawn(shapes, [(_y(share), f"{most * share / 2**20:.0f} MB") for share in (0, 0.5, 1)])
