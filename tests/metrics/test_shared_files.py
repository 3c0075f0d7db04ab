"""Processes that count together: nothing is lost or doubled when one ends, and nothing is left when all have."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import KEY
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from receiver import runtime
from receiver.metrics import shared_files
from receiver.settings import Settings

COUNTING = """
import sys
from pathlib import Path
from receiver.metrics.counters import Counted
counters = Counted(Path(sys.argv[1]))
for line in sys.stdin:
    for _ in range(int(line)):
        counters.delivered("bcb", "accepted", "", 0.003)
    print("done", flush=True)
"""

READING = """
import sys
from pathlib import Path
from receiver.metrics.counters import Counted
from receiver.metrics.counters import exposition
sys.stdout.buffer.write(exposition(Counted(Path(sys.argv[1])), [], "")[0])
"""


KILLED = """
import os, signal, sys
from pathlib import Path
from receiver.metrics import shared_files
left = int(sys.argv[2])
def deadly(act):
    def acting(*args, **kwargs):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return act(*args, **kwargs)
    return acting
os.replace, os.unlink = deadly(os.replace), deadly(os.unlink)
shared_files.prepare(Path(sys.argv[1]))
"""


class Process:
    """One that counts when it is told to."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-c", COUNTING, str(directory)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def count(self, number: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "below" / "metrics"


@pytest.fixture
def start() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for each in started:
        each.kill()


def counted(directory: Path) -> tuple[float, float, float]:
    """What is told of the deliveries: how many, how many answers, and how many of these within 5 ms."""
    command = [sys.executable, "-c", READING, str(directory)]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(written)
        for sample in family.samples
    }
    return (
        found.get(("receiver_deliveries_total", ""), 0),
        found["receiver_answer_seconds_count", ""],
        found["receiver_answer_seconds_bucket", "0.005"],
    )


def test_what_each_process_counts_is_told_together_and_stays_when_one_is_killed(
    directory: Path, start: list[Process]
) -> None:
    first, second = Process(directory), Process(directory)
    start += [first, second]
    first.count(3)
    second.count(4)
    assert counted(directory) == (7, 7, 7)
    first.kill()
    # Whoever is next puts what it has counted aside; and the one after it does not do so twice.
    assert counted(directory) == counted(directory) == (7, 7, 7)
    third = Process(directory)
    start.append(third)
    third.count(5)
    second.count(1)
    assert counted(directory) == (13, 13, 13)
    third.kill()
    assert counted(directory) == (13, 13, 13)
    # Of the dead ones nothing is left but what they have counted.
    living = {f"{kind}_{number}.db" for kind in ("counter", "histogram") for number in (0, second.process.pid)}
    readers = {name for name in os.listdir(directory) if name.endswith(".db")} - living
    assert len(readers) <= 2


def seen(directory: Path) -> float:
    """How many deliveries somebody sees that looks at what all have counted, and clears nothing."""
    with shared_files.looking(directory):
        found = [entry for file in directory.glob("counter_*.db") for entry in shared_files._read(file)]
    return sum(value for key, value in found if "receiver_deliveries_total" in key)


def test_whoever_is_killed_while_it_clears_doubles_and_loses_nothing(directory: Path, start: list[Process]) -> None:
    living = Process(directory)
    start.append(living)
    living.count(4)
    is_killed, acts = True, 0
    while is_killed:
        dead = Process(directory)
        dead.count(3)
        dead.kill()
        command = [sys.executable, "-c", KILLED, str(directory), str(acts)]
        is_killed = subprocess.run(command, check=False).returncode == -signal.SIGKILL
        acts += 1
        assert seen(directory) == 4 + 3 * acts
        assert counted(directory) == (4 + 3 * acts,) * 3
    # Two sums, what they are of, and the list of these.
    assert acts > 5


def test_where_nobody_is_left_all_begins_anew(directory: Path, start: list[Process]) -> None:
    first = Process(directory)
    start.append(first)
    first.count(9)
    first.kill()
    assert counted(directory) == (0, 0, 0)


def test_what_dead_ones_have_counted_is_put_where_room_was_set_aside(directory: Path, start: list[Process]) -> None:
    """To write to memory that a full disk has no room for would kill whoever starts then (SIGBUS)."""
    first, second = Process(directory), Process(directory)
    start += [first, second]
    first.count(2)
    second.count(1)
    # One that has counted more than any file had room for when it was begun.
    many = MmapedDict(str(directory / "counter_999999999.db"))
    for number in range(10_000):
        key = f"receiver_deliveries_total of {number}" + "x" * (number % 9)
        many.write_value(mmap_key("receiver_deliveries_total", "receiver_deliveries_total", ["n"], [key], ""), 1.0, 0)
    many.close()
    first.kill()
    assert counted(directory)[1:] == (3, 3)
    found = {file.name: os.stat(file) for file in directory.glob("*_0.db")}
    assert {name: status.st_blocks * 512 >= status.st_size for name, status in found.items()} == {
        "counter_0.db": True,
        "histogram_0.db": True,
    }


def test_where_a_disk_is_full_no_file_is_left_half_made(directory: Path) -> None:
    directory.mkdir(parents=True)
    with pytest.raises(OSError, match=r"(?i)too large|no space"):
        shared_files._reserve(directory / "counter_1.db", 1 << 62)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("number", sorted(runtime.OF_THE_MACHINE), ids=errno.errorcode.__getitem__)
def test_a_disk_that_is_full_or_ill_stops_no_process_whose_directory_was_set(
    number: int, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(_env_file=None, secret_keys=KEY, metrics_directory=directory)
    started = runtime.start(settings)

    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", full)
    counters = runtime.counting(started).counters
    counters.delivered("bcb", "accepted", "", 0.003)
    assert "those of one process" in caplog.text
    assert [path.name for path in directory.iterdir()] == ["lock"]


def test_the_directory_is_for_this_user_alone(directory: Path, start: list[Process]) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    start.append(Process(directory))
    start[0].count(1)
    assert directory.stat().st_mode & 0o777 == 0o700


def test_files_that_were_cut_off_or_are_none_stop_nobody(directory: Path, start: list[Process]) -> None:
    first = Process(directory)
    start.append(first)
    first.count(2)
    (directory / "counter_999999999.db").write_bytes(b"\x07")
    (directory / "counter_999999998.db").write_bytes(b"\xff\xff\xff\x7f" + b"\xff" * 100)
    (directory / "histogram_999999997.db").touch()
    assert counted(directory) == (2, 2, 2)
