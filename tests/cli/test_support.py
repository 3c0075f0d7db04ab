"""docs/support.md: what a customer knows leads to what happened, by the commands and by the calls that it names."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from bank import BankSigner, deposit
from cli.commands import Cli, Send
from conftest import make_token
from flask.testing import FlaskClient
from servers import ROOT

from receiver.runtime import Runtime

PAGE = (ROOT / "docs" / "support.md").read_text()
STEPS_MAX = 3
DAY = "2026-03-04"

IBAN = "DE89370400440532013000"
MISSED = {
    "accountNumber": IBAN,
    "value": {"amount": "1250.00", "currency": "EUR"},
    "transactionDetails": "RENT for March, 2026-0815",
}
"""What the customer speaks of."""


class Story:
    """The commands and the calls of one section, each with the ids that those before it have shown."""

    def __init__(self, name: str) -> None:
        (section,) = re.findall(rf"<!-- {name}: begin -->(.*?)<!-- {name}: end -->", PAGE, re.DOTALL)
        blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
        self.commands, self.calls = ([line.removeprefix("$ ") for line in block.splitlines()] for block in blocks)
        assert 0 < len(self.commands) <= STEPS_MAX
        assert 0 < len(self.calls) <= STEPS_MAX
        self._seen: dict[str, str] = {}

    def written(self, line: str) -> list[str]:
        """A line's words, with real ids in place of the page's, and yesterday and today in place of its day."""
        for kind, found in self._seen.items():
            line = re.sub(rf"\b{kind}_[0-9a-f]+", found, line)
        today = datetime.now(UTC).date()
        line = line.replace(DAY, str(today - timedelta(days=1))).replace("2026-03-05", str(today + timedelta(days=1)))
        return shlex.split(line)

    def note(self, output: str) -> str:
        """Remember the ids that an answer shows."""
        self._seen |= {kind: f"{kind}_{rest}" for kind, rest in re.findall(r"\b(evt|dlv)_([0-9a-f]{28})\b", output)}
        return output


def run_commands(cli: Cli, story: Story) -> list[str]:
    outputs = []
    for line in story.commands:
        program, *words = story.written(line)
        assert program == "receiver"
        outputs.append(story.note(cli.run(*words).output))
    return outputs


def make_calls(client: FlaskClient, token: dict[str, str], story: Story) -> list[Any]:
    answers = []
    for line in story.calls:
        program, _, header, *words = story.written(line)
        assert (program, header) == ("curl", "Authorization: Bearer $token")
        url = urlsplit(words[-1])
        path = f"{url.path}?{url.query}"
        data = words[words.index("-d") + 1] if "-d" in words else None
        answer = client.post(path, data=data, headers=token) if data else client.get(path, headers=token)
        assert answer.status_code == 200, answer.text
        answers.append(answer.get_json())
        story.note(answer.text)
    return answers


@pytest.fixture
def token(live: Runtime) -> dict[str, str]:
    return make_token(live)


@pytest.mark.parametrize("name", ["amount and day", "account", "remittance text"])
def test_what_the_customer_knows_leads_to_the_event_and_its_place_in_the_feed(
    cli: Cli, web: FlaskClient, send: Send, signer: BankSigner, token: dict[str, str], name: str
) -> None:
    for body in (deposit(transactionId="FT1"), deposit(**MISSED), deposit(transactionId="FT3")):
        send(signer.sign(body))
    listed, shown, *rest = run_commands(cli, Story(name))
    assert listed.count("evt_") == 1
    assert "FT2384654NXF6" in listed
    assert "position" in shown
    assert IBAN in shown
    assert all("unconfirmed" in output for output in rest)
    found, event, *payments = make_calls(web, token, Story(name))
    assert [one["payment_id"] for one in found["data"]] == ["FT2384654NXF6"]
    assert [step["position"] for step in event["timeline"] if step["what"] == "feed"] == [2]
    assert all(payment["agreement"] == "unconfirmed" for payment in payments)


def test_a_callback_that_was_refused_is_found_and_the_reason_is_given(
    cli: Cli, web: FlaskClient, send: Send, signer: BankSigner, token: dict[str, str]
) -> None:
    signer.encoding = "utf8"
    assert send(signer.sign(deposit(**MISSED))).status_code == 401
    listed, refused, explained = run_commands(cli, Story("refused"))
    assert listed == "There is no such event.\n"
    assert "signature_mismatch" in refused
    assert "utf8" in explained
    found, plan = make_calls(web, token, Story("refused"))
    assert (found["data"], found["complete"]) == ([], True)
    assert (plan["matched"], plan["sample"][0]["type"]) == (1, "delivery.rejected")
