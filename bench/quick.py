"""A quick look at callbacks, for tuning: `python -m bench.quick --contestants bare,ours-sqlite --seconds 3`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import arguments
from bench.disk import SlowDisk
from bench.load import Generator, Shape
from bench.rounds import Contest, Result
from bench.stage import Stage, end_on_signal


def main() -> None:
    """Measure and print."""
    end_on_signal()
    given = arguments.quick()
    shape = Shape(given.connections, given.rate, given.seconds, given.warmup, given.fresh)
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as name:
        folder = Path(name)
        disk = SlowDisk(folder) if given.fsync_ms is not None else None
        with Stage(folder, arguments.of_gunicorn(given), disk) as stage, Contest(stage, Generator(folder)) as contest:
            contest.start(given.contestants.split(","))
            if disk:
                disk.slow_down(given.fsync_ms)
            show(contest.rounds(shape, given.rounds))
            if disk:
                disk.slow_down(0)
            contest.check()


def show(results: Sequence[Result]) -> None:
    """Print one line for each contestant: medians, and the rate's lowest and highest."""
    names = ("ratio", "rate/s", "lowest", "highest", "p50", "p95", "p99", "max", "errors", "server", "database")
    print(f"{'':22}" + "".join(f"{name:>9}" for name in (*names, "load", "syncs/s")))
    yardstick = results[0].middle("rate") or 1
    for result in results:
        rates = result.values("rate")
        figures = [f"{result.middle('rate') / yardstick:.2f}"]
        figures += [f"{value:.0f}" for value in (result.middle("rate"), min(rates), max(rates))]
        figures += [f"{result.middle(name):.1f}" for name in ("p50", "p95", "p99")] + [
            f"{max(result.values('max')):.0f}"
        ]
        figures.append(str(result.errors))
        number = len(result.rounds)
        figures.append(f"{sum(measured.server_cpu for measured in result.rounds) / number:.2f}")
        figures.append(f"{sum(measured.database_cpu for measured in result.rounds) / number:.2f}")
        figures.append(f"{result.middle('generator_cpu'):.2f}")
        figures.append(f"{sum(m.syncs / m.load['seconds'] for m in result.rounds) / number:.0f}")
        dry = "  (the generator ran dry)" if any(result.values("ran_dry")) else ""
        print(f"{result.name:22}" + "".join(f"{figure:>9}" for figure in figures) + dry)


if __name__ == "__main__":
    main()
