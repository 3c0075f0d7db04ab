"""Receivers of others: dj-stripe in an environment of its own, and adnanh's `webhook` where it is installed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from servers import ROOT

from bench import settings
from bench.contestants import Contestant, Missing, Start, count, given_to
from bench.signed import HOOK_SECRET, STRIPE_PATH, STRIPE_SECRET
from bench.stage import Stage

DJSTRIPE = "dj-stripe==2.11.0"
SAME = ("gunicorn", "gunicorn_h1c", "gevent", "greenlet", "packaging", "psycopg", "psycopg-binary")
"""What its environment has in the same versions as ours, where ours has it."""

HOOK_PATH = "/hooks/bcb"


def djstripe(kind: str) -> Start:
    """dj-stripe's endpoint, under a gunicorn with our settings."""

    @contextmanager
    def start(stage: Stage) -> Iterator[Contestant]:
        python = _environment_of_its_own()
        url = stage.database(kind, "djstripe")
        given = given_to(url, DJSTRIPE_DATABASE_URL=url.replace("postgresql+psycopg", "postgresql"))
        given["BENCH_SECRET"] = STRIPE_SECRET
        subprocess.run([python, "-m", "bench.djstripe"], cwd=ROOT, env=given, check=True)
        plain = settings.without_receiver(settings.committed(given), stage.folder / f"gunicorn-{kind}.py")
        with stage.served("bench.djstripe:application", given, python=python, config=plain) as serving:
            stored = count(url, "djstripe_event")
            yield Contestant(f"djstripe-{kind}", serving, STRIPE_PATH, "stripe", stored)

    return start


def _environment_of_its_own() -> str:
    """Return the Python of the environment, made anew when the versions change.

    Raises:
        Missing: no package index gives it.
    """
    folder = ROOT / "var" / "bench" / "djstripe"
    python, stamp = folder / "bin" / "python", folder / "wanted"
    wanted = [DJSTRIPE, *(f"{name}=={found}" for name in SAME if (found := _version(name)))]
    if not stamp.exists() or stamp.read_text().split() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run(install, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Missing(f"{DJSTRIPE} could not be installed: {error}") from error
        stamp.write_text("\n".join(wanted))
    return str(python)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def hook(*, waits: bool) -> Start:
    """Serve adnanh's `webhook` with an HMAC rule: it verifies, runs `true`, and stores nothing.

    As it comes it answers first and runs the command afterwards, however many are to be run; `waits` has it answer when
    the command has ended, so that an answer means that something was done.
    """

    @contextmanager
    def start(stage: Stage) -> Iterator[Contestant]:
        program = shutil.which("webhook")
        if program is None:
            raise Missing("`webhook` is not installed (Debian's package `webhook`)")
        file = stage.folder / f"hooks-{waits}.json"
        file.write_text(json.dumps([_rule(waits)]))
        command = [program, "-hooks", str(file), "-ip", "127.0.0.1", "-port", "{port}"]
        with stage.running(command, {"PATH": str(Path(program).parent)}, "/") as serving:
            yield Contestant("webhook", serving, HOOK_PATH, "hook")

    return start


def _rule(waits: bool) -> dict[str, object]:
    signed = {"source": "header", "name": "X-Signature"}
    match = {"type": "payload-hmac-sha256", "secret": HOOK_SECRET, "parameter": signed}
    return {
        "id": HOOK_PATH.rpartition("/")[2],
        "execute-command": shutil.which("true"),
        "include-command-output-in-response": waits,
        "trigger-rule": {"match": match},
        "trigger-rule-mismatch-http-response-code": 401,
    }
