"""The stage of the demo: a throw-away database, the receiver's processes, and a simulated bank beside them."""

import base64
import os
import secrets
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import click
import requests

from receiver.demo.story import POLL_SECONDS, StepFailed, Story
from receiver.server import supervisor
from receiver.simulator import require_installed


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Tell whether nobody listens on a port now."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


RECEIVER = supervisor.RECEIVER
START_SECONDS = 30.0

SIGNING_SECRET = base64.b64encode(secrets.token_bytes(32)).decode()


def run() -> int:
    """Tell the story; return 0 where every step went as it must, 1 where one did not.

    With `DEMO_EXIT=1` in the environment it ends then, otherwise it stays for a look around until Ctrl-C.

    Raises:
        receiver.simulator.SimulatorNotInstalled: where there is no bank to simulate.
    """
    require_installed()
    stays = os.environ.get("DEMO_EXIT") != "1"
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="receiver-demo-") as folder:
        try:
            story = _set_up(Path(folder), processes)
            story.tell()
            click.echo("\nEvery step went as it must.")
            if stays:
                _stay(story, processes)
        except subprocess.CalledProcessError as error:
            click.echo(f"\nThe demo failed: {error.stderr}", err=True)
            return 1
        except (StepFailed, requests.RequestException) as error:
            click.echo(f"\nThe demo failed: {error}", err=True)
            return 1
        except KeyboardInterrupt:
            click.echo()
        finally:
            supervisor.stop(processes)
    return 0


def _set_up(folder: Path, processes: list[subprocess.Popen[bytes]]) -> Story:
    port = int(os.environ.get("PORT") or "8000")
    port = port if is_free(port) else free_port()
    bank_port = free_port()
    receiver, bank = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bank_port}"
    environment = _environment(folder, port)
    click.echo(
        f"A bank is simulated at {bank}; the receiver starts at {receiver}, its database is thrown away afterwards."
    )

    def command(*words: str, given: str = "") -> str:
        ran = subprocess.run(  # noqa: S603 - commands of our own
            [*RECEIVER, *words], env=environment, input=given, text=True, check=True, capture_output=True
        )
        return ran.stdout.strip()

    command("db", "upgrade")
    credentials = '{"client_id": "simulator-client", "client_secret": "simulator-secret"}'
    command("source", "add", "bcb", "--bank", "bcb", "--base-url", bank, "--credentials", "-", given=credentials)
    command("secret", "set", "bcb", given=SIGNING_SECRET)
    token = command("token", "create", "demo")
    simulator = [*RECEIVER, "simulator", "--port", str(bank_port), "--callback-url", f"{receiver}/webhooks/bcb"]
    processes += [supervisor.start(words, environment) for words in (simulator, supervisor.WEB, supervisor.WORKER)]
    _wait_until_up(f"{receiver}/readyz")
    _wait_until_up(f"{bank}/_simulator/requests")
    return Story(receiver, bank, token)


def _environment(folder: Path, port: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RECEIVER_", "BCB_"))}
    return inherited | {
        "PORT": str(port),
        "RECEIVER_DATABASE_URL": f"sqlite:///{folder}/demo.db",
        "RECEIVER_SECRET_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "RECEIVER_RECHECK_SECONDS": "1",
        "RECEIVER_LOG_LEVEL": "ERROR",
        "SIMULATOR_SIGNING_SECRET": SIGNING_SECRET,
    }


def _wait_until_up(url: str) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        if time.monotonic() > ends:
            raise StepFailed(f"{url} did not answer within {START_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def _stay(story: Story, processes: list[subprocess.Popen[bytes]]) -> None:
    click.echo(f"\nLook around, and end it with Ctrl-C:\n   {story.receiver}/\n   {story.receiver}/readyz")
    click.echo(f"   curl -H 'Authorization: Bearer {story.token}' {story.receiver}/api/v1/feed")
    click.echo("""   curl -H 'Content-Type: application/json' -d '{"transactionId": "FT-MINE", "amount": "5.00"}' \\""")
    click.echo(f"        {story.bank}/_simulator/deposits")
    while all(process.poll() is None for process in processes):
        time.sleep(POLL_SECONDS)
    raise StepFailed("one of its processes has ended")
