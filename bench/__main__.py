"""`make bench`: what the receiver can do, beside others and beside a bare Flask view, on this machine."""

import json
import sys
import tempfile
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from servers import ROOT

from bench import arguments, feed, growth, machine, plot, report, sections, settings, signed
from bench.contestants import SQLITE, given_to
from bench.load import Generator, Shape
from bench.rounds import Contest
from bench.sections import Plan
from bench.stage import Stage, end_on_signal

WITH_CONTEST = ("closed", "fresh", "fixed", "seventy")
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"


def main() -> None:
    """Measure, print, and write down."""
    end_on_signal()
    given = arguments.full()
    wanted = [
        part for name in given.only.split(",") for part in (arguments.CALLBACKS if name == "callbacks" else (name,))
    ]
    if unknown := set(wanted) - {*arguments.CALLBACKS, "feed", "growth"}:
        sys.exit(f"there is no section {', '.join(sorted(unknown))}")
    stands_in_the_way = None if given.raw else machine.obstacle()
    if stands_in_the_way:
        print(f"callbacks are not measured: {stands_in_the_way}\n")
    elif given.raw or set(wanted) & set(arguments.CALLBACKS):
        raw = json.loads(given.raw.read_text()) if given.raw else measure(given, wanted)
        text = report.markdown(raw)
        print(text)
        if given.write:
            write(given.write, text, plot.svg(raw))
    if "feed" in wanted and not given.raw:
        feed.main()
    if "growth" in wanted:
        growth.main(given)


def measure(given: Namespace, wanted: list[str]) -> dict[str, Any]:
    """Measure the sections of the callbacks, and keep the raw results below `var/bench`."""
    shape = Shape(given.connections, 0, given.seconds, min(1, given.seconds))
    plan = Plan(given.rounds, shape, arguments.of_gunicorn(given), given.events)
    at = datetime.now(UTC)
    raw: dict[str, Any] = {
        "at": f"{at:%Y-%m-%d %H:%M} UTC",
        "gunicorn": plan.gunicorn,
        "shape": {
            "rounds": plan.rounds,
            "seconds": shape.seconds,
            "connections": shape.connections,
            "body_bytes": signed.BODY_BYTES,
        },
        "settings": committed(),
    }
    file = ROOT / "var" / "bench" / f"{at:%Y%m%dT%H%M%SZ}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="receiver-bench-") as folder,
        Stage(Path(folder), plan.gunicorn) as stage,
        Contest(stage, Generator(Path(folder))) as contest,
    ):
        if set(wanted) & set(WITH_CONTEST):
            contest.start([name for name in given.contestants.split(",") if takes_part(name, raw["settings"])])
        raw["machine"] = machine.describe(stage, contest.missing)
        with_contest(contest, plan, wanted, raw)
        contest.check()
    for section, run in (
        ("slow", sections.slow),
        ("projection", sections.projection),
        ("memory", sections.memory),
        ("verification", sections.verification),
    ):
        if section in wanted:
            raw[section] = run(plan)
            file.write_text(json.dumps(raw))
    file.write_text(json.dumps(raw, indent=1))
    print(f"raw results: {file.relative_to(ROOT)}\n")
    return raw


def with_contest(contest: Contest, plan: Plan, wanted: list[str], raw: dict[str, Any]) -> None:
    """Measure what all contestants take part in."""
    if "closed" in wanted:
        raw["closed"] = sections.closed(contest, plan)
    if "fresh" in wanted:
        raw["fresh"] = sections.fresh(contest, plan)
    if "fixed" in wanted or "seventy" in wanted:
        saturation = sections.saturation_of(contest, plan, raw.get("closed"))
        if "fixed" in wanted:
            raw["fixed"] = sections.fixed(contest, plan, saturation)
        if "seventy" in wanted:
            raw["seventy"] = sections.seventy(contest, plan, saturation)


def committed() -> dict[str, dict[str, Any]]:
    """Return the committed gunicorn settings for each database."""
    urls = {SQLITE: "sqlite:///unused.db", "postgresql": "postgresql+psycopg://unused/unused"}
    return {kind: settings.committed(given_to(url)) for kind, url in urls.items()}


def takes_part(name: str, found: dict[str, dict[str, Any]]) -> bool:
    """One bare view is enough where the settings are the same for both databases."""
    return name != "bare-postgresql" or found["sqlite"] != found["postgresql"]


def write(file: Path, text: str, picture: str) -> None:
    """Put the tables between the marks of a page, or at its end, and the plot beside it."""
    plotted = file.with_suffix(".svg")
    plotted.write_text(picture)
    part = f"{BEGIN}\n\n![The figures below as a plot]({plotted.name})\n\n{text}\n{END}"
    page = file.read_text() if file.exists() else ""
    before, begin, rest = page.partition(BEGIN)
    after = rest.partition(END)[2] if begin else ""
    file.write_text(f"{before}{part}{after}" if begin else f"{page}\n{part}\n".lstrip())


if __name__ == "__main__":
    main()
