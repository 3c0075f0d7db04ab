"""The load generator (`load.c`), compiled with the machine's own compiler, and what a run of it measured."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from servers import ROOT


@dataclass(frozen=True)
class Shape:
    """How the load comes: `rate` 0 is a closed loop; `limit` ends after so many requests rather than by time."""

    connections: int = 32
    rate: float = 0
    seconds: float = 5
    warmup: float = 1
    fresh: bool = False
    limit: int = 0

    def summary(self) -> str:
        """Say it in a few words, for who watches."""
        pace = f"{self.rate:g} callbacks a second" if self.rate else "as many callbacks as it takes"
        return f"{pace}, {'new' if self.fresh else 'kept'} connections, {self.seconds:g} s"


@dataclass
class Measured:
    """One run: what the generator saw, and CPU seconds a second of the server's and the database's processes."""

    load: dict[str, float]
    server_cpu: float = 0
    database_cpu: float = 0
    syncs: int = 0
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """Requests that got no 2xx."""
        names = ("status_4xx", "status_5xx", "resets", "refused", "timeouts", "unsent")
        return int(sum(self.load[name] for name in names))

    def record(self) -> dict[str, float]:
        """Everything, for the raw results."""
        mine = {"server_cpu": self.server_cpu, "database_cpu": self.database_cpu, "syncs": self.syncs}
        return {**self.load, **mine, **self.extra, "errors": self.errors}


Sample = Callable[[], tuple[float, float, int]]
"""CPU seconds of the server and of the database, and the count of fsyncs, so far."""


class Generator:
    """The compiled generator."""

    def __init__(self, folder: Path) -> None:
        """Compile it."""
        self.folder = folder
        self._program = folder / "load"
        source = str(ROOT / "bench" / "load.c")
        subprocess.run(["gcc", "-O2", "-o", str(self._program), source], check=True)

    def run(self, port: int, requests: Path, shape: Shape, sample: Sample) -> Measured:
        """Send the requests of a file; the samples are taken as the measured time begins and ends."""
        numbers = (shape.connections, shape.rate, shape.warmup, shape.seconds, int(shape.fresh), shape.limit)
        command = [str(self._program), str(port), str(requests), *map(str, numbers)]
        samples = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            last = ""
            for line in process.stdout:
                if line.strip() in ("begin", "end"):
                    samples.append(sample())
                last = line
        if process.returncode or len(samples) != 2:
            raise RuntimeError(f"the load generator ended with {process.returncode}: {last}")
        load = json.loads(last)
        server, database, syncs = (after - before for before, after in zip(*samples, strict=True))
        return Measured(load, server / load["seconds"], database / load["seconds"], int(syncs))
