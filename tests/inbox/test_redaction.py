"""What is stored of a callback that shows a token: nothing by which another could be sent, wherever the token came."""

import json

import others
import pytest
from cli.commands import Cli
from conftest import KEY
from flask.testing import FlaskClient
from others import CONNECTPAY_ADDRESS, OLD_TOKEN, TOKEN, outgoing
from web.rows import rows

from receiver import banks
from receiver.admin import deliveries as acts
from receiver.banks.protocol import OptionsWrong
from receiver.inbox.redaction import PLAIN_HEADERS
from receiver.runtime import Runtime
from receiver.store import deliveries
from receiver.store.deliveries import DeliveryRecord
from receiver.store.tables import Delivery

BANKS = {
    "connectpay": {},
    "banqup": {"token_in": "header"},
    "banqup by address": {"allowed_addresses": [f"{CONNECTPAY_ADDRESS}/32"]},
    "banqup by path": {"token_in": "path"},
}

SHOWN = [
    {"X-Auth-Token": TOKEN},
    {"Authorization": f"Bearer {TOKEN}"},
    {"X-Partner-Token": f"token={TOKEN}; v=1"},
    {"Cookie": f"token={TOKEN}"},
    {"X-Original-Uri": f"/webhooks/x/{TOKEN}"},
    {"Referer": f"https://bank.example/{TOKEN}"},
    {"User-Agent": f"Bank/1.0 ({TOKEN})"},
    {"X-Request-Id": TOKEN},
    {"Forwarded": f"for=192.0.2.1;by={TOKEN}"},
    {TOKEN: "1"},
    {f"X-{TOKEN}-Auth": TOKEN},
]
PATHS = ["/{}", "//{}", "/{}/messages", "/a/b/{}", "/{};x", "/%20{}", "/x.{}"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


def add(parts: Runtime, kind: str) -> str:
    bank = kind.partition(" ")[0]
    others.add(parts, bank, TOKEN, **BANKS[kind])  # type: ignore[arg-type]
    return bank


def send(client: FlaskClient, path: str, **headers: str) -> int:
    return client.post(
        path, data=json.dumps(outgoing()), headers=headers, environ_base={"REMOTE_ADDR": CONNECTPAY_ADDRESS}
    ).status_code


def stored(parts: Runtime) -> list[DeliveryRecord]:
    with parts.database.read() as connection:
        return deliveries.rejected(connection, None, below=None, limit=100)


@pytest.mark.parametrize("kind", BANKS)
def test_a_token_is_stored_in_clear_nowhere(client: FlaskClient, parts: Runtime, kind: str) -> None:
    bank = add(parts, kind)
    for headers in SHOWN:
        send(client, f"/webhooks/{bank}", **headers)
    for path in PATHS:
        send(client, f"/webhooks/{bank}{path.format(TOKEN)}")
    kept = rows(parts, Delivery)
    assert len(kept) == len(SHOWN) + len(PATHS)
    # The name of a header comes in small letters.
    assert TOKEN.lower() not in repr([(row.path, row.channel, row.headers) for row in kept]).lower()


def test_a_wrong_token_is_not_stored_either_where_nobody_expects_one(client: FlaskClient, parts: Runtime) -> None:
    add(parts, "connectpay")
    send(client, f"/webhooks/connectpay/{OLD_TOKEN}", **{"X-Auth-Token": OLD_TOKEN})
    (row,) = stored(parts)
    assert OLD_TOKEN not in repr(row)
    assert row.headers["x-auth-token"].startswith("sha256=")


def test_what_staff_need_to_see_stays_readable(client: FlaskClient, parts: Runtime) -> None:
    add(parts, "connectpay")
    send(client, "/webhooks/connectpay/deposits", **{"User-Agent": "Bank/1.0", "x-connectpay-timestamp": "1772625600"})
    (row,) = stored(parts)
    assert (row.path, row.channel) == ("/webhooks/connectpay/deposits", "deposits")
    assert (row.headers["user-agent"], row.headers["x-connectpay-timestamp"]) == ("Bank/1.0", "1772625600")


def test_where_callbacks_are_signed_headers_stay_as_they_came(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "standard_webhooks", others.WHSEC)
    send(client, "/webhooks/standard_webhooks", **{"X-Other": "as it came", "Webhook-Id": "msg_1"})
    (row,) = stored(parts)
    assert (row.headers["x-other"], row.headers["webhook-id"]) == ("as it came", "msg_1")


@pytest.mark.parametrize("header", ["x-request-id", "via", "forwarded"])
def test_the_header_that_shows_the_token_is_hidden_whatever_it_is_called(
    client: FlaskClient, parts: Runtime, header: str
) -> None:
    assert header in PLAIN_HEADERS
    others.add(parts, "connectpay", TOKEN, token_header=header)
    assert send(client, "/webhooks/connectpay", **{header: OLD_TOKEN}) == 401
    assert send(client, "/webhooks/connectpay", **{header: TOKEN}) == 200
    assert OLD_TOKEN not in repr(stored(parts))


@pytest.mark.parametrize(
    ("header", "place"),
    [
        ({"X-Auth-Token": TOKEN}, "the header x-auth-token; the source looks for it in the header x-connectpay-token"),
        ({"Authorization": f"Bearer {TOKEN}"}, "the header authorization; the source looks for it in"),
        ({"User-Agent": TOKEN}, "the header user-agent; the source looks for it in"),
        ({"X-Connectpay-Token": TOKEN}, "the header x-connectpay-token, as the source has it"),
        ({}, "the path; the source looks for it in the header x-connectpay-token"),
    ],
)
def test_explain_says_where_a_known_token_came(
    client: FlaskClient, parts: Runtime, header: dict[str, str], place: str
) -> None:
    add(parts, "connectpay")
    answer = client.post(
        f"/webhooks/connectpay/{'' if header else TOKEN}", headers=header, environ_base={"REMOTE_ADDR": "203.0.113.9"}
    )
    assert answer.status_code == 401
    (row,) = stored(parts)
    remarks = acts.explain(parts, "cli:test", row.id).report.remarks
    assert remarks[0].startswith(f"secret 1 came in {place}")


def test_explain_by_the_command_line(
    client: FlaskClient, parts: Runtime, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(parts, "banqup by path")
    send(client, f"/webhooks/banqup/x/{TOKEN}")
    send(client, "/webhooks/banqup/x")
    monkeypatch.setenv("RECEIVER_DATABASE_URL", database_url)
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
    said = "".join(Cli().done("deliveries", "explain", row.id) for row in stored(parts))
    assert "- secret 1 came in the path, as the source has it" in said
    assert "- no known token came with it, in any header or in the path" in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    ("bank", "option"),
    [
        ("connectpay", "token_header"),
        ("banqup", "token_header"),
        ("banking_circle", "nonce_header"),
        ("banking_circle", "tag_header"),
        ("banking_circle", "checksum_header"),
    ],
)
def test_a_header_with_an_underscore_is_refused_with_the_reason_at_every_bank(bank: str, option: str) -> None:
    given = {option: "X_Partner_Token", **({"token_in": "header"} if bank == "banqup" else {})}
    with pytest.raises(OptionsWrong, match=r"never arrives.*x-partner-token"):
        banks.named(bank).check_options(given)


def test_a_source_that_was_set_so_by_an_earlier_release_hides_and_finds_it_by_its_other_spelling(
    client: FlaskClient, parts: Runtime
) -> None:
    others.add(parts, "connectpay", TOKEN, token_header="x_partner_token")
    assert send(client, "/webhooks/connectpay", **{"X-Partner-Token": OLD_TOKEN}) == 401
    assert send(client, "/webhooks/connectpay", **{"X-Partner-Token": TOKEN}) == 200
    assert OLD_TOKEN not in repr(stored(parts))
