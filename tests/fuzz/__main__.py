"""`make fuzz MINUTES=…`: every property of the tests with other examples than ever before, round after round.

Each round is one run of pytest over all that Hypothesis draws for, with a seed that is printed: the same seed draws the
same. It ends with the first round that fails, or once the time is over, in the middle of a round.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

ROUND = "10"
"""How many times as many examples as in `make test`."""

INTERRUPTED = 2
"""Pytest's exit code then."""

END_SECONDS = 60
"""How long an interrupted round may take to end its servers and databases."""


def main(minutes: float, *more: str) -> int:
    """Return pytest's exit code of the last round."""
    ends = time.monotonic() + minutes * 60
    # The same examples each time are for CI alone.
    given = {name: value for name, value in os.environ.items() if name != "CI"} | {
        "FUZZ": os.environ.get("FUZZ", ROUND)
    }
    while True:
        seed = str(secrets.randbelow(2**64))
        command = [sys.executable, "-m", "pytest", "-m", "hypothesis", f"--hypothesis-seed={seed}", "-q", "-x", *more]
        print(f"seed {seed}: {' '.join(command[1:])}", flush=True)
        code = run_until(ends, command, given)
        if code is None:
            print(f"seed {seed} was under way when the time was over; nothing failed before", flush=True)
            return 0
        if code != 0:
            print(f"seed {seed} fails; FUZZ={given['FUZZ']} and that seed draw the same", flush=True)
            return code


def run_until(ends: float, command: Sequence[str], given: Mapping[str, str]) -> int | None:
    """Run a command; return its exit code, or none where it was interrupted because the time is over.

    With `-x` a failure ends a round at once, and so before that; one whose example is still made smaller is lost.
    """
    with subprocess.Popen(command, env=given) as process:
        try:
            return process.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            code = process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return None
        return None if code in (0, INTERRUPTED, -signal.SIGINT) else code


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *sys.argv[2:]))
