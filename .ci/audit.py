"""`make audit`: asks the advisory service what is known against the packages of requirements.lock.

Ends with 1 where something is known, or the audit itself is at fault. That the service does not answer is told, and is
no fault. Arguments go on to pip-audit: `--vulnerability-service osv` asks another service.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = "requirements.lock"

ACCEPTED: dict[str, str] = {}
"""Advisories that were looked into and do not matter here: the id of each, and why."""

COMMAND = (
    *(sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--requirement", LOCK),
    *("--format", "json", "--desc", "off", "--aliases", "on", "--progress-spinner", "off"),
)

UNREACHED = re.compile(
    r"ConnectionError|Timeout|timed out|HTTPError|ServiceError|Max retries|may be blocking"
    r"|JSONDecodeError|ChunkedEncodingError|IncompleteRead"
)

SECONDS = 300
"""A service that takes longer for all packages does not answer."""


def main(arguments: list[str]) -> int:
    """Run the audit; return the exit code."""
    passed_over = [word for name in ACCEPTED for word in ("--ignore-vuln", name)]
    command = [*COMMAND, *passed_over, *arguments]
    try:
        ended = subprocess.run(  # noqa: S603 - our own
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        print(f"skipped: the advisory service did not answer within {SECONDS} s")
        return 0
    if ended.stdout.lstrip().startswith("{"):
        return report(json.loads(ended.stdout)["dependencies"])
    if UNREACHED.search(ended.stderr):
        *_, said = ended.stderr.strip().splitlines()
        print(f"skipped: the advisory service did not answer ({said[:300]})")
        return 0
    sys.stderr.write(ended.stderr or f"pip-audit ended with {ended.returncode} and said nothing\n")
    return 1


def report(packages: list[dict[str, Any]]) -> int:
    """Say what is known of packages, as pip-audit has found it; return the exit code."""
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    found = [(package, each) for package in packages for each in package.get("vulns", ())]
    for package, each in found:
        names = ", ".join([each["id"], *each["aliases"]])
        mended = ", ".join(each["fix_versions"]) or "no release yet"
        print(f"{package['name']} {package['version']}: {names}; mended in {mended}")
    if len(unknown) == len(packages):
        print(f"skipped: the advisory service did not answer for any of the {len(packages)} packages of {LOCK}")
        return 0
    if unknown:
        print(f"The advisory service does not know {', '.join(unknown)}.")
    print(f"{len(found)} known advisories against {len(packages) - len(unknown)} packages of {LOCK}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
