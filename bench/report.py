"""The results in Markdown: ratios first, then each table."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.field import LABELS, yardstick

Rounds = Sequence[Mapping[str, float]]

SATURATION = ("", "of the bare view", "callbacks/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "errors", "CPU", "load")
NONE = "-"

VARIANTS = {
    "": "",
    "-worker": "its worker beside it, ",
    "-flask": "by Flask's route, ",
    "-unshared": "connections not shared, ",
}
"""Of ours, by the middle of their names: what a ratio says of each."""

PROJECTION = (
    *("", "callbacks/s", "waiting, first third", "waiting, last third", "most"),
    *("delay p50 s", "delay p99 s"),
)

RATE = ("callbacks/s", "", "p50 ms", "p95 ms", "p99 ms", "max ms", "over 250 ms", "errors", "load")


def markdown(raw: Mapping[str, Any]) -> str:
    """Render what was measured."""
    parts = [_conditions(raw), _ratios(raw)]
    for name, title in (("closed", "Saturation, connections kept"), ("fresh", "Saturation, a new connection each")):
        if name in raw:
            parts.append(f"### {title}\n\n{_saturation(raw[name])}")
    for milliseconds, measured in raw.get("slow", {}).items():
        parts.append(f"### Saturation, each fsync {milliseconds} ms slower\n\n{_slowed(measured)}")
    if "fixed" in raw or "seventy" in raw:
        parts.append(f"### Fixed rates\n\n{_rates(raw)}")
    if "projection" in raw:
        parts.append(f"### The projection at saturation\n\n{_projection(raw['projection'])}")
    if "memory" in raw:
        parts.append(f"### Memory\n\n{_memory(raw['memory'])}")
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def values(rounds: Rounds, name: str) -> list[float]:
    """One figure, of each round."""
    return [part[name] for part in rounds]


def spread(numbers: Sequence[float], form: str = ",.0f") -> str:
    """Write the median, and from where to where the numbers go."""
    return f"{median(numbers):{form}} ({min(numbers):{form}} to {max(numbers):{form}})"


def ratio(above: Rounds, below: Rounds, name: str = "rate") -> list[float]:
    """Round by round: both were measured one after the other."""
    return [a[name] / b[name] for a, b in zip(above, below, strict=True) if b[name]]


def _conditions(raw: Mapping[str, Any]) -> str:
    shape = raw["shape"]
    lines = [f"- {name}: {value}" for name, value in raw["machine"].items() if name != "missing"]
    lines += [f"- could not take part: {raw['machine']['missing']}"]
    lines += [f"- gunicorn for {kind}: {_settings(found)}" for kind, found in raw["settings"].items()]
    if raw["gunicorn"]:
        lines.append(f"- gunicorn's settings overridden by `{' '.join(raw['gunicorn'])}`")
    lines.append(
        f"- {shape['rounds']} rounds of {shape['seconds']:g} s, each contestant in turn; {shape['connections']} "
        f"connections in a closed loop; bodies of {shape['body_bytes']} bytes"
    )
    return f"Measured on {raw['at']}:\n\n" + "\n".join(lines)


def _settings(found: Mapping[str, Any]) -> str:
    names = ("worker_class", "workers", "threads", "worker_connections")
    return ", ".join(f"{name}={found[name]}" for name in names if name in found)


def _ratios(raw: Mapping[str, Any]) -> str:
    rows = []
    for section, words in (("closed", "connections kept"), ("fresh", "a connection each")):
        measured = raw.get(section, {})
        for variant, what in VARIANTS.items():
            rows.append([f"{what}of the bare view, {words}", *_against(measured, None, f"ours{variant}")])
        for other in ("textbook", "textbook2x8", "djstripe", "webhook-waits", "webhook"):
            name = LABELS.get(other) or LABELS[f"{other}-sqlite"].partition(",")[0]
            rows.append([f"times {name}, {words}", *_against(measured, other)])
    for milliseconds, measured in raw.get("slow", {}).items():
        words = f"each fsync {milliseconds} ms slower"
        rows.append([f"times textbook, {words}", *_against(measured, "textbook")])
        rows.append([f"p99 in ms, {words}", *_own(measured, "p99")])
    rows += _seventy_ratios(raw.get("seventy", {}))
    if "memory" in raw:
        rows.append(["memory after all events, of that after the first part", *_growth(raw["memory"])])
    if "verification" in raw:
        taken = spread(raw["verification"]["microseconds"], ".1f")
        rows.append(["verification of 1 KiB with HMAC, in µs", taken, taken])
    rows = [row for row in rows if set(row[1:]) != {NONE}]
    return "### Ratios\n\n" + table(("ours", "SQLite", "PostgreSQL"), rows) if rows else ""


def _against(measured: Mapping[str, Rounds], other: str | None, who: str = "ours") -> list[str]:
    """Ours on each database by the bare view, or by another, who may have a variant for each database."""
    cells = []
    for kind in ("sqlite", "postgresql"):
        ours = f"{who}-{kind}"
        name = yardstick(ours, measured) if other is None else other if other in measured else f"{other}-{kind}"
        found = ratio(measured[ours], measured[name]) if ours in measured and name in measured else []
        cells.append(spread(found, ".2f") if found else NONE)
    return cells


def _own(measured: Mapping[str, Rounds], figure: str) -> list[str]:
    names = ("ours-sqlite", "ours-postgresql")
    return [spread(values(measured[name], figure), ".1f") if name in measured else NONE for name in names]


def _seventy_ratios(seventy: Mapping[str, Any]) -> list[list[str]]:
    beside, most = ["p99 at 70 % of saturation, of the bare view's"], ["the slowest answer of these, in ms"]
    for name in ("ours-sqlite", "ours-postgresql"):
        if name not in seventy:
            beside.append(NONE)
            most.append(NONE)
            continue
        rounds = seventy[name]["rounds"]
        other = next(found for key, found in rounds.items() if key != name)
        beside.append(spread(ratio(rounds[name], other, "p99"), ".2f"))
        most.append(f"{max(values(rounds[name], 'max')):.0f}")
    return [beside, most]


def _growth(memory: Mapping[str, Sequence[Sequence[float]]]) -> list[str]:
    names = ("ours-sqlite", "ours-postgresql")
    return [f"{memory[name][-1][1] / memory[name][0][1]:.3f}" if name in memory else NONE for name in names]


def _latencies(rounds: Rounds) -> list[str]:
    return [
        f"{median(values(rounds, 'p50')):.1f}",
        f"{median(values(rounds, 'p95')):.1f}",
        spread(values(rounds, "p99"), ".1f"),
        f"{max(values(rounds, 'max')):.0f}",
    ]


def _load(rounds: Rounds) -> str:
    dry = ", ran dry" if any(values(rounds, "ran_dry")) else ""
    return f"{median(values(rounds, 'generator_cpu')):.2f}{dry}"


def _errors(rounds: Rounds) -> str:
    return f"{sum(values(rounds, 'errors')):.0f}"


def _cpu(rounds: Rounds) -> str:
    server, database = (median(values(rounds, name)) for name in ("server_cpu", "database_cpu"))
    return f"{server:.2f} + {database:.2f}" if database else f"{server:.2f}"


def _saturation(measured: Mapping[str, Rounds]) -> str:
    rows = []
    for name, rounds in measured.items():
        base = measured.get(yardstick(name, measured))
        share = spread(ratio(rounds, base), ".2f") if base else NONE
        rate = spread(values(rounds, "rate"))
        end = [_errors(rounds), _cpu(rounds), _load(rounds)]
        rows.append([LABELS[name], share, rate, *_latencies(rounds), *end])
    return table(SATURATION, rows)


def _slowed(measured: Mapping[str, Rounds]) -> str:
    rows = []
    for name, rounds in measured.items():
        syncs = median(part["syncs"] / part["seconds"] for part in rounds)
        rows.append(
            [LABELS[name], spread(values(rounds, "rate")), *_latencies(rounds), f"{syncs:.0f}", _errors(rounds)]
        )
    return table(("", "callbacks/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "fsyncs/s", "errors"), rows)


def _rates(raw: Mapping[str, Any]) -> str:
    groups = [(f"{rate}", measured) for rate, measured in raw.get("fixed", {}).items()]
    for name, found in raw.get("seventy", {}).items():
        groups.append((f"{found['rate']} (70 % of {LABELS[name]})", found["rounds"]))
    rows = []
    for rate, measured in groups:
        for name, rounds in measured.items():
            over = f"{sum(values(rounds, 'above_250ms')):.0f}"
            rows.append([rate, LABELS[name], *_latencies(rounds), over, _errors(rounds), _load(rounds)])
    return table(RATE, rows)


def _projection(projection: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, found in projection.items():
        backlog, delay = found["backlog"], sorted(found["delay"])
        third = max(1, len(backlog) // 3)
        waits = [f"{median(part):,.0f}" for part in (backlog[:third], backlog[-third:])] + [f"{max(backlog):,.0f}"]
        delays = [f"{delay[int(share * (len(delay) - 1))]:.2f}" for share in (0.5, 0.99)]
        rows.append([LABELS[name], f"{found['rate']:,.0f}", *waits, *delays])
    said = "For so many seconds: how many events waited to be projected, and how old the first of them was.\n\n"
    return said.replace("so many", f"{next(iter(projection.values()))['seconds']:.0f}") + table(PROJECTION, rows)


def _memory(memory: Mapping[str, Sequence[Sequence[float]]]) -> str:
    rows = []
    for name, points in memory.items():
        cells = [f"{size / 2**20:.1f}" for _, size in points]
        rows.append([LABELS[name], *cells])
    counts = [f"{number:,.0f}" for number, _ in next(iter(memory.values()))]
    return "MiB resident, all of gunicorn's processes together, after so many callbacks:\n\n" + table(
        ("", *counts), rows
    )
