"""What `bench.growth` measured, as tables."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import psutil

Figures = dict[str, Any]


GROUPS = {
    "deliveries: what came, as it came": ("deliveries",),
    "events": ("events",),
    "feed (two entries a payment)": ("feed_entries",),
    "payments and checks": ("subjects", "checks"),
    "searches": ("search_events", "search_keys", "search_blocks", "search_facets"),
    "the bank's list": ("bank_lines",),
}


def table(figures: Mapping[str, Mapping[str, Figures]]) -> str:
    """Write all that was measured as tables."""
    memory = psutil.virtual_memory().total / 2**30
    parts = [f"Measured on {os.cpu_count()} cores, {memory:.0f} GiB.\n"]
    for kind, sizes in figures.items():
        numbers = sorted(sizes, key=int)
        if not numbers:
            continue
        largest = sizes[numbers[-1]]
        parts.append(
            f"{kind}: bytes a payment, of {int(numbers[-1]):,} (data, indexes)\n\n{_bytes(largest, int(numbers[-1]))}"
        )
        parts.append(f"{kind}: time\n\n{_times(sizes, numbers)}")
    return "\n".join(parts)


def _bytes(found: Figures, number: int) -> str:
    rows = ["| | data | indexes |", "| --- | --- | --- |"]
    sums = [0, 0]
    for name, tables in GROUPS.items():
        here = [sum(found["bytes"][each][column] for each in tables) for column in (0, 1)]
        sums = [one + other for one, other in zip(sums, here, strict=True)]
        rows.append(f"| {name} | {here[0] / number:,.0f} | {here[1] / number:,.0f} |")
    return "\n".join([*rows, f"| all | {sums[0] / number:,.0f} | {sums[1] / number:,.0f} |", ""])


def _times(sizes: Mapping[str, Figures], numbers: list[str]) -> str:
    rows = [f"| | {' | '.join(f'{int(each):,}' for each in numbers)} |", f"| --- |{' --- |' * len(numbers)}"]

    def row(name: str, show: Callable[[Figures], str]) -> None:
        rows.append(f"| {name} | {' | '.join(show(sizes[each]) for each in numbers)} |")

    row("a callback, p50 and p99 ms", lambda found: _pair(found["callbacks"], "p50", "p99"))
    for name in sizes[numbers[0]]["questions"]:
        row(f"{name}, p50 and p95 ms", partial(_answered, name))
    row("a sweep of 1,000 lines, s", lambda found: "-" if found["sweep"] is None else f"{found['sweep']:.2f}")
    row("a day held against events: lines, s", lambda found: "{:,}, {:.2f}".format(*found["day"]))
    row("load of the machine before", lambda found: f"{found['load_before']:.1f}")
    return "\n".join([*rows, ""])


def _answered(name: str, found: Figures) -> str:
    half, most = found["questions"][name]
    return f"{half:.1f}, {most:.1f}"


def _pair(found: Mapping[str, float] | None, one: str, other: str) -> str:
    return "-" if found is None else f"{found[one]:.1f}, {found[other]:.1f}"
