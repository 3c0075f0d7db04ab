"""The directory in which the processes of one machine count: made for one user alone, cleared of the dead.

Each process has two files of its own there, by its process id, which prometheus-client makes and reads; what dead ones
have counted goes on in two that belong to none.
"""

import fcntl
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

BYTES = {"counter": 512 * 1024, "histogram": 64 * 1024}
"""How large a process's file of each type is: room for all that `SERIES_MAX` allows, so that it never grows."""

SERIES_MAX = 1000
"""Counters in one process, by their labels: beyond these they are counted without a source and a reason."""

NOBODY = 0
"""The process id of what dead ones have counted."""

SUMMED = "summed"
"""The file that names those whose sums are written: they go, and the sums take their place."""


def prepare(directory: Path) -> None:
    """Make the directory where it is missing, clear it of dead processes, and give this process its files.

    Raises:
        OSError: it can't be made or written, it is another user's, or its file system is full.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = os.stat(directory)
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{directory} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        directory.chmod(0o700)
    with _locked(directory, fcntl.LOCK_EX):
        _finish(directory)
        _clear(directory)
        for kind, size in BYTES.items():
            _reserve(directory / f"{kind}_{os.getpid()}.db", size)


@contextmanager
def looking(directory: Path) -> Iterator[None]:
    """Let nobody clear the directory meanwhile: what moves from one file to another would be missed, or seen twice.

    What somebody was killed in the middle of is finished first.

    Raises:
        OSError
    """
    while True:
        with _locked(directory, fcntl.LOCK_SH):
            if not (directory / SUMMED).exists():
                yield
                return
        with _locked(directory, fcntl.LOCK_EX):
            _finish(directory)


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    with (directory / "lock").open("a") as file:
        fcntl.flock(file, how)
        yield


def _clear(directory: Path) -> None:
    """Put together what dead processes have counted; where none lives, all begins at nothing.

    Prometheus takes a counter that begins anew for what it is, and one that has only become smaller for a lot of new
    counts: so while any process goes on, nothing that was counted is forgotten.
    """
    files = [file for file in directory.glob("*_*.db") if file.name.partition("_")[0] in BYTES]
    dead = [file for file in files if not _is_alive(file)]
    is_anybody_there = len(dead) < len(files)
    if not is_anybody_there:
        for file in dead:
            file.unlink()
        return
    summed: list[str] = []
    for kind in BYTES:
        of_kind = [file for file in dead if file.name.startswith(f"{kind}_")]
        names = [file.name for file in of_kind if file != _together(directory, kind)]
        if names:
            _put_together(of_kind, kind, _together(directory, kind).with_suffix(".new"))
            summed += names
    if summed:
        written = directory / f"{SUMMED}.new"
        written.write_text("\n".join(summed))
        # From here on it is done, at whatever instant this process is killed.
        written.replace(directory / SUMMED)
        _finish(directory)


def _finish(directory: Path) -> None:
    """Put sums in the place of what they are of, where that was begun: all of it, however far it had come."""
    try:
        names = (directory / SUMMED).read_text().splitlines()
    except FileNotFoundError:
        return
    for kind in {name.partition("_")[0] for name in names}:
        together = _together(directory, kind)
        with suppress(FileNotFoundError):
            together.with_suffix(".new").replace(together)
    for name in names:
        (directory / name).unlink(missing_ok=True)
    (directory / SUMMED).unlink()


def _together(directory: Path, kind: str) -> Path:
    return directory / f"{kind}_{NOBODY}.db"


def _is_alive(file: Path) -> bool:
    """Tell whether a file is that of another process that runs, or of one that has its number by now."""
    number = file.stem.rpartition("_")[2]
    if not number.isdecimal() or int(number) in (NOBODY, os.getpid()):
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _put_together(files: Iterable[Path], kind: str, into: Path) -> None:
    """Write the sums of what stands in files of one type into a new one.

    Raises:
        OSError: there is no room.
    """
    sums: dict[str, float] = {}
    for file in files:
        for key, value in _read(file):
            sums[key] = sums.get(key, 0.0) + value
    # Each has its key, padded to 8 bytes, its length and two numbers; before them all stands how much is in use.
    _reserve(into, max(BYTES[kind], 8 + sum(len(key.encode()) + 28 for key in sums)))
    written = MmapedDict(str(into))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()


def _read(file: Path) -> list[tuple[str, float]]:
    """Return what stands in a file; nothing where it was never finished."""
    try:
        return [(key, value) for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file))]
    except (OSError, RuntimeError, ValueError, struct.error):
        return []


def _reserve(file: Path, size: int) -> None:
    """Make a file whose bytes the file system has set aside: to write to memory that it has no room for is deadly.

    Raises:
        OSError: there is no room.
    """
    try:
        with file.open("wb") as opened:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(opened.fileno(), 0, size)
            else:
                opened.write(bytes(size))
    except OSError:
        file.unlink(missing_ok=True)
        raise
