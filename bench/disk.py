"""A disk on which every fsync takes longer: a shim before the C library, and the number that it obeys."""

import mmap
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import ROOT


class SlowDisk:
    """The shim, compiled now, with the file that its processes share."""

    def __init__(self, folder: Path) -> None:
        """Compile it with the machine's own compiler."""
        library, self._file = folder / "slow_fsync.so", folder / "slow_fsync.state"
        source = str(ROOT / "bench" / "slow_fsync.c")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)  # noqa: S603, S607
        self._file.write_bytes(struct.pack("<qq", 0, 0))
        # PostgreSQL may run as another user.
        self._file.chmod(0o666)
        folder.chmod(0o755)
        with self._file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 16)
        self.environment = {"LD_PRELOAD": str(library), "SLOW_FSYNC": str(self._file)}

    def slow_down(self, milliseconds: float) -> None:
        """From now on each fsync takes so much longer; in all processes that were started with the shim."""
        self._shared[:8] = struct.pack("<q", int(milliseconds * 1000))

    @property
    def syncs(self) -> int:
        """How many fsync and fdatasync there were."""
        return int(struct.unpack("<q", self._shared[8:16])[0])

    @contextmanager
    def below(self) -> Iterator[None]:
        """Whatever is started in here has the shim."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
