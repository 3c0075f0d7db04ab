"""`receiver deliveries`."""

import json

import pytest
from bank import SECRET, Signed, deposit


def printable(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.fixture
def forged(signer) -> Signed:
    signed = signer.sign(deposit())
    return Signed(signed.path, signed.body + b" ", signed.headers)


def test_a_rejected_delivery_is_listed_with_its_reason(cli, send, forged):
    send(forged)
    (found,) = cli.json("deliveries", "list")
    assert (found["source"], found["verdict"], found["reason"]) == ("bcb", "rejected", "signature_mismatch")
    assert (found["signature_right"], found["peer"]) == (False, "127.0.0.1")
    assert "signature_mismatch" in cli.done("deliveries", "list")


def test_an_accepted_delivery_is_shown_by_its_id_but_not_listed(cli, send, signer):
    event_id = send(signer.sign(deposit())).json["events"][0]
    delivery_id = cli.json("events", "show", event_id)["timeline"][0]["delivery"]
    assert cli.json("deliveries", "list") == []
    shown = cli.json("deliveries", "show", delivery_id)
    assert (shown["verdict"], shown["signature_right"]) == ("accepted", True)
    assert "accepted" in cli.done("deliveries", "show", delivery_id)


def test_the_list_is_narrowed_to_a_source_and_to_a_number(cli, send, forged):
    for _ in range(3):
        send(forged)
    assert len(cli.json("deliveries", "list", "--source", "bcb", "--limit", "2")) == 2
    assert cli.json("deliveries", "list", "--source", "other") == []


def test_no_delivery_is_said_on_standard_error(cli):
    assert cli.run("deliveries", "list").stderr == "No rejected delivery is kept.\n"


def test_a_delivery_that_does_not_exist_fails(cli):
    result = cli.run("deliveries", "show", "dlv_none")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no delivery 'dlv_none'\n")


def test_what_a_forger_sends_cannot_steer_the_terminal(cli, send, forged):
    hostile = {**forged.headers, "Bcb-Nonce": "\x1b[2Jnonce", "X-Odd": "\x9b31m \x1b]0;owned\x07 \x7f"}
    send(Signed("/webhooks/bcb/%1b[31m\u202e", forged.body, hostile))
    (found,) = cli.json("deliveries", "list")
    for words in (("list",), ("list", "--json"), ("show", found["id"]), ("show", found["id"], "--json")):
        assert printable(cli.done("deliveries", *words))


def test_nothing_secret_is_shown(cli, send, forged):
    send(Signed(forged.path, forged.body, {**forged.headers, "Authorization": "Bearer hidden", "Cookie": "hidden"}))
    (found,) = cli.json("deliveries", "list")
    assert "hidden" not in json.dumps(found)
    assert SECRET not in json.dumps(found)
