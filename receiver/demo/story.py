"""The scenes of `receiver demo`, each of which shows that what it tells is so; and the processes they are played by."""

import base64
import json
import os
import re
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import requests

from receiver.server import supervisor, throwaway
from receiver.server.throwaway import call, free_port
from receiver.settings import Settings, SettingsError, wrong
from receiver.simulator import require_installed

ANSWER_SECONDS = 60.0

PERSON = "demo"
SIGN_IN = "/staff/sign-in"
POLL_SECONDS = 0.2


class StepFailed(Exception):
    """A step of the story went otherwise than it must."""


class Ended(Exception):
    """The demo was asked to end."""


@dataclass
class Ending:
    """Whether it was asked to end, which is looked at between two steps: nothing is left half started."""

    is_asked: bool = False

    def ask(self, *_: object) -> None:
        """Note that; a handler of signals."""
        self.is_asked = True

    def check(self) -> None:
        """Go on, unless it was.

        Raises:
            Ended
        """
        if self.is_asked:
            raise Ended


@dataclass
class Story:
    """Tells what happens, and asks both sides."""

    receiver: str
    bank: str
    token: str = field(repr=False)
    password: str = field(repr=False)
    """Of the one person of the demo, who may do everything on the staff pages."""
    ending: Ending
    number: int = 0

    def tell(self) -> None:
        """Go through the story.

        Raises:
            StepFailed
            Ended
            requests.RequestException
        """
        first = self._deposit("A deposit, signed with the shared secret (HMAC-SHA256)", "FT-DEMO-1", "hmac")
        self._bank_says("FT-DEMO-1", "completed", "confirmed")
        self._deposit("A deposit, signed with the bank's private key (RSA-PSS)", "FT-DEMO-2", "rsa")
        self._bank_says("FT-DEMO-2", "completed", "confirmed")
        self._job("A background job has ended", "job-demo-1")
        self._duplicate("The bank sends the first deposit once more", "FT-DEMO-1", first)
        self._refused("Somebody forges a deposit", "FT-DEMO-3", "forged")
        self._late("A deposit comes an hour later than it was signed", "FT-DEMO-4")
        self._deposit("A deposit that the bank takes back", "FT-DEMO-5", "hmac", [["Reversed"]])
        self._bank_says("FT-DEMO-5", "reversed", "contradicted")
        self._feed()
        self._pages()

    def _title(self, text: str) -> None:
        self.ending.check()
        self.number += 1
        click.echo(f"\n{self.number}. {text}")

    def _deposit(self, title: str, transaction: str, method: str, script: list[Any] | None = None) -> dict[str, Any]:
        self._title(title)
        steps = script or [["Pending", 2], ["Completed"]]
        sent = self._send(
            "deposits", {"transactionId": transaction, "amount": "1000.00", "method": method, "script": steps}
        )
        _line("came", f"a callback about {transaction}, 1000.00 USD")
        return self._answered(sent, "accepted")

    def _job(self, title: str, job: str) -> None:
        self._title(title)
        self._bank("PUT", f"jobs/{job}", {"script": [["CompletedWithErrors"]], "total": 3})
        sent = self._send(f"jobs/{job}/webhook", {})
        _line("came", f"a callback about {job}")
        answer = self._answered(sent, "accepted")
        check = self._wait_for(f"events/{answer['events'][0]}", _first_check)
        if check["bank_status"] != "CompletedWithErrors":
            raise StepFailed(f"the bank should have said CompletedWithErrors, not {check['bank_status']}")
        _line(
            "bank says", f"{check['bank_status']}, {check['detail']['items']} items, {check['detail']['failed']} failed"
        )

    def _duplicate(self, title: str, transaction: str, first: Mapping[str, Any]) -> None:
        self._title(title)
        sent = self._send("deposits", {"transactionId": transaction, "amount": "1000.00", "variant": "again"})
        _line("came", "the identical callback: the same nonce, the same body")
        if self._answered(sent, "duplicate")["events"] != first["events"]:
            raise StepFailed("a duplicate should name the event that it repeats")
        self._bank_says(transaction, "completed", "confirmed")

    def _refused(self, title: str, transaction: str, variant: str) -> None:
        self._title(title)
        body = {"transactionId": transaction, "amount": "9999.00", "variant": variant, "delays": []}
        sent = self._send("deposits", body)
        _line("came", f"a callback about {transaction} ({variant})")
        _line("answered", f"{sent['status']} {sent['body'].get('title', '')}".rstrip())
        if sent["status"] != 401:
            raise StepFailed(f"it should have been refused with 401, not answered {sent['status']}")
        if self._get("events", payment_id=transaction)["data"]:
            raise StepFailed("a refused callback must not become an event")
        _line("bank says", "nothing: what is not proven genuine is not asked about, and is in no feed")

    def _late(self, title: str, transaction: str) -> None:
        self._title(title)
        body = {"transactionId": transaction, "amount": "1000.00", "variant": "stale", "delays": []}
        sent = self._send("deposits", body | {"script": [["Completed"]]})
        _line("came", f"a callback about {transaction}, rightly signed, too long ago")
        _line("answered", f"{sent['status']} {sent['body'].get('title', '')}".rstrip())
        if sent["status"] != 401:
            raise StepFailed(f"it should have been refused with 401, not answered {sent['status']}")
        (event,) = self._wait_for(f"events?payment_id={transaction}", lambda shown: shown["data"])
        if not event["late"]:
            raise StepFailed("the event should be marked late")
        self._bank_says(transaction, "completed", "confirmed")
        _line("so", "it is an event after all, marked late: the bank itself has confirmed it")

    def _bank_says(self, payment: str, status: str, agreement: str) -> None:
        found = self._wait_for(f"payments/bcb/{payment}", lambda shown: shown if shown["status"] == status else None)
        said = " -> ".join(_without_repeats([check["bank_status"] or check["outcome"] for check in found["checks"]]))
        _line("bank says", f"{said}; the payment is {found['status']}, the claim {found['agreement']}")
        if found["agreement"] != agreement:
            raise StepFailed(f"the claim should be {agreement}")

    def _feed(self) -> None:
        self._title("What a downstream app reads from the feed")
        entries = self._get("feed")["data"]
        for entry in entries:
            _line(f"{entry['position']:>3}", f"{entry['type']:<32}{entry.get('subject', '')}")
        if [entry["position"] for entry in entries] != list(range(1, len(entries) + 1)):
            raise StepFailed("the positions should ascend without a gap")

    def _pages(self) -> None:
        self._title("What staff see: the pages of the receiver")
        with requests.Session() as browser:
            browser.trust_env = False
            form = browser.get(f"{self.receiver}{SIGN_IN}", timeout=ANSWER_SECONDS).text
            token = re.search(r'name="form_token" value="([^"]+)"', form)
            filled = {"form_token": token[1] if token else "", "name": PERSON, "password": self.password}
            browser.post(f"{self.receiver}{SIGN_IN}", data=filled, timeout=ANSWER_SECONDS)
            for page, shown in (("events", "FT-DEMO-1"), ("deliveries", "dlv_"), ("payments", "FT-DEMO-5")):
                answer = browser.get(f"{self.receiver}/staff/{page}", timeout=ANSWER_SECONDS)
                if answer.status_code != 200 or shown not in answer.text:
                    raise StepFailed(f"the page of {page} should show {shown}")
                _line(page, f"{self.receiver}/staff/{page}")

    def _answered(self, sent: Mapping[str, Any], status: str) -> dict[str, Any]:
        tries = len(sent["tries"])
        _line("answered", f"{sent['status']} {json.dumps(sent['body'])}" + (f" (at try {tries})" if tries > 1 else ""))
        if sent["status"] != 200 or sent["body"].get("status") != status:
            raise StepFailed(f"it should have been answered 200, {status}")
        answer: dict[str, Any] = sent["body"]
        return answer

    def _send(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        (delivery,) = self._bank("POST", what, body)["deliveries"]
        answered = f"the callback ({what}) was answered {delivery['status']}"
        return {**delivery, "body": _read(delivery["body"] or "{}", answered)}

    def _bank(self, method: str, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = call(method, f"{self.bank}/_simulator/{what}", json=body, timeout=ANSWER_SECONDS)
        answer.raise_for_status()
        return _read(answer.text, f"{answer.url} answered")

    def _get(self, what: str, **query: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = call("GET", f"{self.receiver}/api/v1/{what}", headers=headers, params=query, timeout=10)
        answer.raise_for_status()
        return _read(answer.text, f"{answer.url} answered")

    def _wait_for(self, what: str, find: Callable[[dict[str, Any]], Any]) -> Any:
        ends = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < ends:
            self.ending.check()
            if found := find(self._get(what)):
                return found
            time.sleep(POLL_SECONDS)
        raise StepFailed(f"/api/v1/{what} did not become what it should within {ANSWER_SECONDS:g} s")


def _line(name: str, text: str) -> None:
    click.echo(f"   {name:<10} {text}")


def _read(text: str, answered: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StepFailed(f"{answered} what is no JSON object: {text[:200]!a}")
    return found


def _first_check(shown: dict[str, Any]) -> dict[str, Any] | None:
    return next((step for step in shown["timeline"] if step["what"] == "check"), None)


def _without_repeats(words: list[str]) -> list[str]:
    return [word for index, word in enumerate(words) if index == 0 or words[index - 1] != word]


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

    With `DEMO_EXIT=1` in the environment it ends then, otherwise it stays for a look around until Ctrl-C. What ends a
    program (`throwaway.ENDING`) ends it in good order: nothing is left, and before the story was over that is a 1.

    Raises:
        receiver.simulator.SimulatorNotInstalled: where there is no bank to simulate.
        SettingsError: `PORT` is none.
    """
    require_installed()
    port = _port()
    stays = os.environ.get("DEMO_EXIT") != "1"
    processes: list[subprocess.Popen[bytes]] = []
    ending, is_over = Ending(), False
    with throwaway.heard(ending.ask), tempfile.TemporaryDirectory(prefix="receiver-demo-") as folder:
        try:
            story = _set_up(Path(folder), port, processes, ending)
            story.tell()
            is_over = True
            click.echo("\nEvery step went as it must.")
            if stays:
                stay(story, processes)
        except subprocess.CalledProcessError as error:
            return _failed(error.stderr)
        except (StepFailed, requests.RequestException) as error:
            return _failed(str(error))
        except Ended:
            return 0 if is_over else _failed("it was ended before the story was")
        finally:
            supervisor.stop(processes)
    return 0


def _failed(why: str) -> int:
    click.echo(f"\nThe demo failed: {why}", err=True)
    return 1


def _port() -> int:
    """Return the port that is set, or a free one where that one is taken.

    Raises:
        SettingsError: it is none.
    """
    text = (os.environ.get("PORT") or str(Settings.model_fields["port"].default)).strip()
    port = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    if not 1 <= port <= 65535:
        raise SettingsError(wrong("port", f"{text[:80]!a} is none"))
    return port if is_free(port) else free_port()


def _set_up(folder: Path, port: int, processes: list[subprocess.Popen[bytes]], ending: Ending) -> Story:
    bank_port = free_port()
    receiver, bank = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bank_port}"
    environment = _environment(folder, port)
    click.echo(
        f"A bank is simulated at {bank}; the receiver starts at {receiver}, its database is thrown away afterwards."
    )

    def command(*words: str, given: str = "") -> str:
        ending.check()
        ran = subprocess.run(  # noqa: S603 - commands of our own
            [*RECEIVER, *words],
            env=environment,
            cwd=folder,
            input=given,
            text=True,
            check=True,
            capture_output=True,
            start_new_session=True,
        )
        return ran.stdout.strip()

    command("db", "upgrade")
    credentials = '{"client_id": "simulator-client", "client_secret": "simulator-secret"}'
    command("source", "add", "bcb", "--bank", "bcb", "--base-url", bank, "--credentials", "-", given=credentials)
    command("secret", "set", "bcb", given=SIGNING_SECRET)
    token = command("token", "create", "demo")
    password = secrets.token_urlsafe(12)
    command("staff", "add", PERSON, "--role", "admin", "--payloads", given=password)
    simulator = [*RECEIVER, "simulator", "--port", str(bank_port), "--callback-url", f"{receiver}/webhooks/bcb"]
    # Each runs in the folder: settings are read from a `.env` in the current one.
    commands = (simulator, supervisor.WEB, supervisor.WORKER)
    processes.extend(supervisor.start(words, environment, folder) for words in commands)
    for url in (f"{receiver}/readyz", f"{bank}/_simulator/requests"):
        _wait_until_up(url, ending)
    return Story(receiver, bank, token, password, ending)


def _environment(folder: Path, port: int) -> dict[str, str]:
    return throwaway.environment() | {
        "PORT": str(port),
        "RECEIVER_DATABASE_URL": f"sqlite:///{folder}/demo.db",
        "RECEIVER_SECRET_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "RECEIVER_RECHECK_SECONDS": "1",
        "RECEIVER_LOG_LEVEL": "ERROR",
        "SIMULATOR_SIGNING_SECRET": SIGNING_SECRET,
    }


def _wait_until_up(url: str, ending: Ending) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        ending.check()
        try:
            if call("GET", url, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        if time.monotonic() > ends:
            raise StepFailed(f"{url} did not answer within {START_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def stay(story: Story, processes: list[subprocess.Popen[bytes]]) -> None:
    """Let people look around until it is asked to end.

    Raises:
        Ended
        StepFailed: a process has ended by itself.
    """
    click.echo("\nLook around, and end it with Ctrl-C:")
    click.echo(f"   {story.receiver}/staff")
    click.echo(f"        sign in as {PERSON}, with the password {story.password} (of this demo alone)")
    for path in ("/", "/docs", "/readyz"):
        click.echo(f"   {story.receiver}{path}")
    click.echo(f"   curl -H 'Authorization: Bearer {story.token}' {story.receiver}/api/v1/feed")
    click.echo("""   curl -H 'Content-Type: application/json' -d '{"transactionId": "FT-MINE", "amount": "5.00"}' \\""")
    click.echo(f"        {story.bank}/_simulator/deposits")
    while all(process.poll() is None for process in processes):
        story.ending.check()
        time.sleep(POLL_SECONDS)
    # Whoever stops all of them at once, such as systemd, may have them end first.
    story.ending.check()
    raise StepFailed("one of its processes has ended")
