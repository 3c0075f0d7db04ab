"""The command lines of the benchmarks."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench import growth
from bench.field import CONTESTANTS
from bench.sections import EVENTS

CALLBACKS = ("closed", "fresh", "fixed", "seventy", "slow", "projection", "memory", "verification")


def full() -> Namespace:
    """Read that of `make bench`."""
    parser = ArgumentParser(prog="python -m bench")
    sections = f"comma-separated: {', '.join(CALLBACKS)}; callbacks, which is all of these; feed; growth"
    parser.add_argument("--only", default="callbacks,feed", metavar="SECTIONS", help=sections)
    parser.add_argument("--events", type=int, default=EVENTS, help="so many for the section memory")
    parser.add_argument(
        "--write", type=Path, metavar="FILE.md", help="put the tables between its marks, a plot beside it"
    )
    parser.add_argument("--from", dest="raw", type=Path, metavar="FILE.json", help="show these raw results again")
    parser.add_argument("--sizes", default=",".join(map(str, growth.SIZES)), help="payments, for the section growth")
    parser.add_argument("--databases", default=",".join(growth.KINDS), help="for the section growth")
    parser.add_argument(
        "--minutes", type=float, default=60, help="growth begins no part of its work after so many; it goes on later"
    )
    parser.add_argument("--forget", action="store_true", help="delete what growth has left below var/bench/growth")
    _add_common(parser)
    return parser.parse_args()


def quick() -> Namespace:
    """Read that of `python -m bench.quick`."""
    parser = ArgumentParser(prog="python -m bench.quick")
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--rate", type=float, default=0, help="an open loop at so many a second; 0: a closed loop")
    parser.add_argument("--fresh", action="store_true", help="a new connection for each callback")
    parser.add_argument("--fsync-ms", type=float, help="let each fsync take so much longer, and count them")
    _add_common(parser)
    return parser.parse_args()


def _add_common(parser: ArgumentParser) -> None:
    who = f"comma-separated, of {', '.join(CONTESTANTS)}; slow, projection and memory have their own"
    parser.add_argument("--contestants", default=",".join(CONTESTANTS), metavar="NAMES", help=who)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of each round")
    parser.add_argument("--connections", type=int, default=32, help="in a closed loop")
    parser.add_argument("--worker-class", help="instead of the committed one, for all under gunicorn")
    parser.add_argument("--processes", type=int, help="instead of the committed number")
    parser.add_argument("--threads", type=int, help="instead of the committed number")
    parser.add_argument("gunicorn", nargs="*", help="after `--`: more arguments for gunicorn")


def of_gunicorn(given: Namespace) -> list[str]:
    """Return what wins over the committed settings."""
    named = {"--worker-class": given.worker_class, "--workers": given.processes, "--threads": given.threads}
    more: list[str] = given.gunicorn
    return [part for name, value in named.items() if value is not None for part in (name, str(value))] + more
