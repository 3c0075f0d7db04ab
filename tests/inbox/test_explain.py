"""What explains a refused delivery of any bank, and the command that mends it."""

import base64
import hashlib
import hmac
import json
from typing import Any

import others
import pytest
from bank import SECRET, BankSigner, deposit
from conftest import KEY, StandingClock, add_encrypting_source, add_source
from encrypting_bank import KEY as AES_KEY
from encrypting_bank import EncryptingBank, batch, notification
from flask.testing import FlaskClient
from others import CONNECTPAY_ADDRESS, TOKEN, WHSEC, message, outgoing

from receiver.admin import deliveries as acts
from receiver.inbox.explain import Report
from receiver.runtime import Runtime
from receiver.store import deliveries

REVERIFY = "receiver deliveries reverify --source"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is looked at holds no SQL of its own."""
    return sqlite_url


def refused(client: FlaskClient, path: str, body: bytes, headers: Any, peer: str = "127.0.0.1") -> None:
    answer = client.post(path, data=body, headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert answer.status_code == 401


def explained(parts: Runtime, source: str) -> Report:
    with parts.database.read() as connection:
        (row,) = deliveries.rejected(connection, source, below=None, limit=2)
    return acts.explain(parts, "cli:test", row.id).report


def test_bcb_by_the_other_encoding_and_at_a_channel_that_was_not_named(
    parts: Runtime, client: FlaskClient, clock: StandingClock
) -> None:
    add_source(parts, channels=["jobs"])
    signed = BankSigner(clock, encoding="utf8").sign(deposit(), path="/webhooks/bcb/deposits")
    refused(client, signed.path, signed.body, signed.headers)
    assert explained(parts, "bcb").commands == [
        "receiver source set bcb --option encoding=utf8 --option channels=jobs,deposits",
        f"{REVERIFY} bcb",
    ]


def test_bcb_behind_a_proxy_that_drops_the_beginning_of_the_path(
    parts: Runtime, client: FlaskClient, bank: BankSigner
) -> None:
    add_source(parts)
    signed = bank.sign(deposit(), path="/bank/webhooks/bcb")
    refused(client, "/webhooks/bcb", signed.body, signed.headers)
    with parts.database.read() as connection:
        (row,) = deliveries.rejected(connection, "bcb", below=None, limit=2)
    report = acts.explain(parts, "cli:test", row.id, ["/bank/webhooks/bcb"]).report
    assert "set RECEIVER_PUBLIC_PATH_PREFIX=/bank and start anew" in report.remarks[-1]
    assert list(report.commands) == []


def test_an_expired_secret_is_to_be_set_anew(parts: Runtime, client: FlaskClient, bank: BankSigner) -> None:
    add_source(parts)
    from receiver.admin import secrets

    secrets.put(parts, "cli:test", "bcb", "A" * 43 + "=")
    secrets.expire(parts, "cli:test", "bcb", 1)
    signed = bank.sign(deposit())
    refused(client, signed.path, signed.body, signed.headers)
    assert explained(parts, "bcb").commands == ["receiver secret set bcb", f"{REVERIFY} bcb"]


def test_banking_circle_by_the_other_encoding_and_by_headers_of_other_names(
    parts: Runtime, client: FlaskClient
) -> None:
    key = base64.b64encode(base64.b64decode(AES_KEY)).decode()
    add_encrypting_source(parts)
    sealed = EncryptingBank(base64.b64decode(key)).sign(batch([notification()]))
    names = {"Nonce": "X-Nonce", "AuthenticationTag": "X-Tag", "Checksum": "X-Checksum"}
    headers = {names.get(name, name): value for name, value in sealed.headers.items()}
    refused(client, "/webhooks/bc", sealed.body, headers)
    options = "--option nonce_header=x-nonce --option tag_header=x-tag --option checksum_header=x-checksum"
    assert explained(parts, "bc").commands == [
        f"receiver source set bc {options} --option encoding=base64",
        f"{REVERIFY} bc",
    ]


@pytest.mark.parametrize("peer", ["203.0.113.9", "::ffff:203.0.113.9"])
def test_connectpay_from_an_address_that_is_not_published_says_to_look_twice(
    parts: Runtime, client: FlaskClient, peer: str
) -> None:
    others.add(parts, "connectpay", TOKEN)
    refused(client, "/webhooks/connectpay", json.dumps(outgoing()).encode(), {"X-Token": TOKEN}, peer)
    report = explained(parts, "connectpay")
    allowed = f"allowed_addresses={CONNECTPAY_ADDRESS},54.74.228.210,{peer}"
    assert report.commands == [
        f"receiver source set connectpay --option token_header=x-token --option {allowed}",
        f"{REVERIFY} connectpay",
    ]
    assert f"{peer} is not on the source's list: add it only where it is the bank's own address" in report.remarks


@pytest.mark.parametrize(
    ("given", "path", "headers", "option"),
    [
        ({"token_in": "path"}, "/webhooks/banqup/messages", {"X-Banqup-Token": TOKEN}, "--option token_in=header"),
        ({"token_in": "header"}, f"/webhooks/banqup/{TOKEN}/messages", {}, "--option token_in=path"),
        ({"token_in": "header"}, "/webhooks/banqup/messages", {"X-Key": TOKEN}, "--option token_header=x-key"),
    ],
)
def test_banqup_where_the_token_came_elsewhere(
    parts: Runtime, client: FlaskClient, given: dict[str, str], path: str, headers: dict[str, str], option: str
) -> None:
    others.add(parts, "banqup", TOKEN, **given)
    refused(client, path, json.dumps(message()).encode(), headers)
    assert explained(parts, "banqup").commands == [f"receiver source set banqup {option}", f"{REVERIFY} banqup"]


def test_an_address_alone_proves_nothing_that_could_be_mended(parts: Runtime, client: FlaskClient) -> None:
    others.add(parts, "banqup", None, allowed_addresses=["192.0.2.1/32"])
    refused(client, "/webhooks/banqup/messages", b"{}", {}, "203.0.113.9")
    assert explained(parts, "banqup").commands == ()


def webhook(
    parts: Runtime, key: bytes, text: str = "{id}.{time}.{body}", **changed: str
) -> tuple[bytes, dict[str, str]]:
    """A message of Standard Webhooks, signed by the specification's rule or by another."""
    body, time = b'{"type":"x"}', str(int(parts.clock().timestamp()))
    signed = text.format(id="msg_1", time=time, body=body.decode()).encode()
    made = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": time, "webhook-signature": f"v1,{made}"}
    return body, {**headers, **changed}


WHSEC_KEY = base64.b64decode(WHSEC.removeprefix("whsec_"))


@pytest.mark.parametrize(
    ("key", "text", "changed", "said"),
    [
        (WHSEC_KEY, "{time}.{body}", {}, "secret:1 made the signature, over the time and the body, without the id"),
        (WHSEC_KEY, "{id}.{body}", {}, "secret:1 made the signature, over the id and the body, without the time"),
        (WHSEC.encode(), "{id}.{time}.{body}", {}, "(whsec_ included)"),
        (WHSEC.removeprefix("whsec_").encode(), "{id}.{time}.{body}", {}, "set it anew as whsec_ and the Base64"),
        (WHSEC_KEY, "{id}.{time}.{body}", {"webhook-id": "msg.1"}, "the header webhook-id is malformed"),
        (WHSEC_KEY, "{id}.{time}.{body}", {"webhook-timestamp": "1"}, "the header webhook-timestamp is malformed"),
        (
            WHSEC_KEY,
            "{id}.{time}.{body}",
            {"webhook-signature": "v2,AAAA"},
            "no signature is of a version that is known",
        ),
        (WHSEC_KEY, "{id}.{time}.{body}", {"webhook-signature": ""}, "the header webhook-signature is missing"),
        (b"x" * 32, "{id}.{time}.{body}", {}, "no known secret or key"),
    ],
)
def test_standard_webhooks_says_which_part_is_off(
    parts: Runtime, client: FlaskClient, key: bytes, text: str, changed: dict[str, str], said: str
) -> None:
    others.add(parts, "standard_webhooks", WHSEC)
    body, headers = webhook(parts, key, text, **changed)
    refused(client, "/webhooks/standard_webhooks", body, headers)
    report = explained(parts, "standard_webhooks")
    assert any(said in remark for remark in report.remarks), report.remarks
    assert (list(report.fits), list(report.commands)) == ([], [])


def test_standard_webhooks_by_the_names_of_svix(parts: Runtime, client: FlaskClient) -> None:
    others.add(parts, "standard_webhooks", WHSEC)
    body, headers = webhook(parts, WHSEC_KEY)
    refused(
        client,
        "/webhooks/standard_webhooks",
        body,
        {name.replace("webhook", "svix"): value for name, value in headers.items()},
    )
    report = explained(parts, "standard_webhooks")
    assert [fit.match.key_id for fit in report.fits] == ["secret:1"]
    assert report.commands[0] == "receiver source set standard_webhooks --option headers=svix"


def test_no_secret_stands_in_what_is_said(parts: Runtime, client: FlaskClient) -> None:
    add_source(parts, encoding="utf8")
    signed = BankSigner(parts.clock).sign(deposit())
    refused(client, signed.path, signed.body, signed.headers)
    said = repr(explained(parts, "bcb"))
    assert SECRET not in said
    assert KEY not in said
