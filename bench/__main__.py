"""`make bench`: what the receiver can do, beside others and beside a bare Flask view, on this machine."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.contestants import CONTESTANTS
from bench.disk import SlowDisk
from bench.load import Generator, Shape
from bench.rounds import Hall, Result
from bench.stage import Stage


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--contestants", default=",".join(CONTESTANTS), help="comma-separated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0, help="an open loop at so many a second; 0: a closed loop")
    parser.add_argument("--fresh", action="store_true", help="a new connection for each callback")
    parser.add_argument("--fsync-ms", type=float, help="let each fsync take so much longer, and count them")
    parser.add_argument("--worker-class", help="instead of the committed one")
    parser.add_argument("--processes", type=int, help="instead of the committed number")
    parser.add_argument("--threads", type=int, help="instead of the committed number")
    parser.add_argument("gunicorn", nargs="*", help="after `--`: more arguments for gunicorn")
    return parser.parse_args()


def gunicorn_arguments(given: argparse.Namespace) -> list[str]:
    """What wins over the committed settings."""
    named = {"--worker-class": given.worker_class, "--workers": given.processes, "--threads": given.threads}
    return [part for name, value in named.items() if value is not None for part in (name, str(value))] + given.gunicorn


def main() -> None:
    """Measure and print."""
    given = arguments()
    shape = Shape(given.connections, given.rate, given.seconds, given.warmup, given.fresh)
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as name:
        folder = Path(name)
        disk = SlowDisk(folder) if given.fsync_ms is not None else None
        with Stage(folder, gunicorn_arguments(given), disk) as stage, Hall(stage, Generator(folder)) as hall:
            hall.start(given.contestants.split(","))
            if disk:
                disk.slow_down(given.fsync_ms)
            show(hall.rounds(shape, given.rounds))
            if disk:
                disk.slow_down(0)
            hall.check()


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
