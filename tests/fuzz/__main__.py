"""`make fuzz MINUTES=…`: every property of the tests with other examples than ever before, round after round.

Each round is one run of pytest over all that Hypothesis draws for, with a seed that is printed: the same seed draws the
same. It ends with the first round that fails, or once the time is over.
"""

import os
import secrets
import subprocess
import sys
import time

ROUND = "10"
"""How many times as many examples as in `make test`."""


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
        code = subprocess.run(command, env=given, check=False).returncode
        if code != 0:
            print(f"seed {seed} fails; FUZZ={given['FUZZ']} and that seed draw the same", flush=True)
            return code
        if time.monotonic() > ends:
            return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *sys.argv[2:]))
