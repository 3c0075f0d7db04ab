"""`receiver deliveries`."""

import json
from typing import Any

import pytest
from bank import SECRET, BankSigner, Signed, deposit
from cli.commands import Cli, Send


def printable(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.fixture
def forged(signer: BankSigner) -> Signed:
    signed = signer.sign(deposit())
    return Signed(signed.path, signed.body + b" ", signed.headers)


def test_a_rejected_delivery_is_listed_with_its_reason(cli: Cli, send: Send, forged: Signed) -> None:
    send(forged)
    (found,) = cli.json("deliveries", "list")
    assert (found["source"], found["verdict"], found["reason"]) == ("bcb", "rejected", "signature_mismatch")
    assert (found["signature_right"], found["peer"]) == (False, "127.0.0.1")
    assert "signature_mismatch" in cli.done("deliveries", "list")


def told_by(cli: Cli, event_id: str) -> list[str]:
    """The deliveries that told an event, in the order of time."""
    timeline = cli.json("events", "show", event_id)["timeline"]
    return [step["delivery"] for step in timeline if step["what"] == "delivery"]


def test_an_accepted_delivery_is_shown_by_its_id_but_not_listed(cli: Cli, send: Send, signer: BankSigner) -> None:
    event_id = send(signer.sign(deposit())).get_json()["events"][0]
    delivery_id = told_by(cli, event_id)[0]
    assert cli.json("deliveries", "list") == []
    shown = cli.json("deliveries", "show", delivery_id)
    assert (shown["verdict"], shown["signature_right"]) == ("accepted", True)
    assert "accepted" in cli.done("deliveries", "show", delivery_id)


def test_the_list_is_narrowed_to_a_source_and_to_a_number(cli: Cli, send: Send, forged: Signed) -> None:
    for _ in range(3):
        send(forged)
    assert len(cli.json("deliveries", "list", "--source", "bcb", "--limit", "2")) == 2
    assert cli.run("deliveries", "list", "--source", "other").exit_code == 2


def test_the_list_is_narrowed_by_reason_time_and_text(cli: Cli, send: Send, forged: Signed, signer: BankSigner) -> None:
    send(forged)
    (first,) = cli.json("deliveries", "list")
    stale = signer.sign(deposit(transactionId="FT-stale"), timestamp="1700000000")
    send(stale)

    def listed(*words: str) -> list[str]:
        return [found["reason"] for found in cli.json("deliveries", "list", *words)]

    assert listed() == ["timestamp_stale", "signature_mismatch"]
    assert listed("--reason", "signature_mismatch") == ["signature_mismatch"]
    assert listed("--reason", "signature_mismatch", "--reason", "timestamp_stale") == listed()
    assert listed("--contains", "ft-STALE") == ["timestamp_stale"]
    assert listed("--contains", signer_nonce(stale)) == ["timestamp_stale"]
    assert listed("--contains", "nowhere", "--limit", "1") == []
    assert listed("--after", first["received_at"]) == listed()
    assert listed("--after", "2999-01-01T00:00:00Z") == listed("--after", "2999-01-01t00:00:00z") == []


def signer_nonce(signed: Signed) -> str:
    return signed.headers["Bcb-Nonce"]


def test_the_body_of_any_delivery_is_written_as_it_is_stored(cli: Cli, send: Send, forged: Signed) -> None:
    send(forged)
    (found,) = cli.json("deliveries", "list")
    assert cli.done("deliveries", "raw", found["id"]).encode() == forged.body
    assert [entry["about"] for entry in cli.json("audit", "list")] == [{"source": "bcb", "delivery": found["id"]}]


def test_the_body_of_a_duplicate_is_that_of_the_first(cli: Cli, send: Send, signer: BankSigner) -> None:
    signed = signer.sign(deposit())
    send(signed)
    event_id = send(signer.sign(deposit())).get_json()["events"][0]
    repeat = told_by(cli, event_id)[-1]
    assert cli.json("deliveries", "show", repeat)["verdict"] == "duplicate"
    assert cli.done("deliveries", "raw", repeat).encode() == signed.body


def test_a_list_is_written_as_csv_whole(cli: Cli, send: Send, forged: Signed) -> None:
    for _ in range(3):
        send(forged)
    head, *lines = cli.done("deliveries", "list", "--csv").splitlines()
    assert head.startswith("id,source,received_at,")
    assert len(lines) == 3
    assert len(cli.done("deliveries", "list", "--csv", "--limit", "2").splitlines()) == 3


def test_no_delivery_is_said_on_standard_error(cli: Cli) -> None:
    assert cli.run("deliveries", "list").stderr == "No late or rejected delivery is kept.\n"


def test_a_delivery_that_does_not_exist_fails(cli: Cli) -> None:
    result = cli.run("deliveries", "show", "dlv_none")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no delivery 'dlv_none'\n")


def test_what_a_forger_sends_cannot_steer_the_terminal(cli: Cli, send: Send, forged: Signed) -> None:
    hostile = {**forged.headers, "Bcb-Nonce": "\x1b[2Jnonce", "X-Odd": "\x9b31m \x1b]0;owned\x07 \x7f"}
    send(Signed("/webhooks/bcb/%1b[31m\u202e", forged.body, hostile))
    (found,) = cli.json("deliveries", "list")
    for words in (("list",), ("list", "--json"), ("show", found["id"]), ("show", found["id"], "--json")):
        assert printable(cli.done("deliveries", *words))


def test_nothing_secret_is_shown(cli: Cli, send: Send, forged: Signed) -> None:
    send(Signed(forged.path, forged.body, {**forged.headers, "Authorization": "Bearer hidden", "Cookie": "hidden"}))
    (found,) = cli.json("deliveries", "list")
    assert "hidden" not in json.dumps(found)
    assert SECRET not in json.dumps(found)


def explained(cli: Cli, *words: str) -> Any:
    (found,) = cli.json("deliveries", "list")
    return cli.json("deliveries", "explain", found["id"], *words)


def test_a_secret_in_the_other_encoding_is_found_out(cli: Cli, send: Send, signer: BankSigner) -> None:
    send(BankSigner(signer.clock, encoding="utf8").sign(deposit()))
    (fit,) = explained(cli)["fits"]
    assert fit == {
        "key": "secret:1",
        "encoding": "utf8",
        "path": "/webhooks/bcb",
        "differences": ["the source's option encoding is base64"],
    }


@pytest.mark.parametrize("signed_path", ["/webhooks/bcb/", "/bank/webhooks/bcb", "/bank/webhooks/bcb/"])
def test_a_path_that_was_signed_otherwise_is_found_out(
    cli: Cli, send: Send, signer: BankSigner, monkeypatch: pytest.MonkeyPatch, signed_path: str
) -> None:
    signed = signer.sign(deposit(), path=signed_path)
    send(Signed("/webhooks/bcb", signed.body, signed.headers))
    monkeypatch.setenv("RECEIVER_PUBLIC_PATH_PREFIX", "/bank")
    (fit,) = explained(cli)["fits"]
    assert (fit["path"], fit["differences"]) == (signed_path, ["it came to /webhooks/bcb"])


def test_any_other_path_can_be_tried(cli: Cli, send: Send, signer: BankSigner) -> None:
    signed = signer.sign(deposit(), path="/elsewhere")
    send(Signed("/webhooks/bcb", signed.body, signed.headers))
    assert explained(cli)["fits"] == []
    assert explained(cli, "--path", "/elsewhere")["fits"][0]["path"] == "/elsewhere"


def test_an_expired_secret_is_found_out(cli: Cli, send: Send, signer: BankSigner) -> None:
    cli.done("secret", "set", "bcb", given="A" * 43 + "=")
    cli.done("secret", "expire", "bcb", "1")
    send(signer.sign(deposit()))
    (fit,) = explained(cli)["fits"]
    assert (fit["key"], fit["differences"]) == ("secret:1", ["this secret has expired"])


def test_a_clock_that_is_off_is_told_by_how_much(cli: Cli, send: Send, signer: BankSigner) -> None:
    send(signer.sign(deposit(), timestamp=str(int(signer.clock().timestamp()) - 400)))
    found = explained(cli)
    assert 400 <= found["signed_seconds_before_receipt"] < 460
    assert found["remarks"][0].startswith("signed 40")
    assert found["fits"][0]["differences"] == []


@pytest.mark.parametrize(
    ("header", "value", "remark"),
    [
        ("Bcb-Timestamp", "1700000000000", "the header bcb-timestamp is malformed"),
        ("Bcb-Signature", "no Base64", "the header bcb-signature is malformed"),
        ("Bcb-Nonce", "", "the header bcb-nonce is missing"),
    ],
)
def test_what_is_missing_or_malformed_is_said(
    cli: Cli, send: Send, signer: BankSigner, header: str, value: str, remark: str
) -> None:
    signed = signer.sign(deposit())
    send(Signed(signed.path, signed.body, {**signed.headers, header: value}))
    assert any(remark in said for said in explained(cli)["remarks"])


def test_a_forgery_fits_nothing(cli: Cli, send: Send, forged: Signed) -> None:
    send(forged)
    found = explained(cli)
    assert found["fits"] == []
    assert found["remarks"][-1].startswith("no known secret or key")
    assert "no known secret or key" in cli.done("deliveries", "explain", found["id"])


def test_accepted_and_repeated_deliveries_are_explained_too(cli: Cli, send: Send, signer: BankSigner) -> None:
    first = send(signer.sign(deposit())).get_json()["events"][0]
    send(signer.sign(deposit()))
    told = told_by(cli, first)
    for delivery_id in told:
        text = cli.done("deliveries", "explain", delivery_id)
        assert (
            "secret:1, encoding base64, over the path /webhooks/bcb, made this signature, as the source has it" in text
        )
    assert len(told) == 2


def test_a_body_that_was_not_kept_whole_is_said(cli: Cli, send: Send, forged: Signed) -> None:
    send(Signed(forged.path, b"x" * 20_000, forged.headers))
    (found,) = cli.json("deliveries", "list")
    result = cli.run("deliveries", "explain", found["id"])
    assert result.exit_code == 1
    assert "only 16384 of 20000 bytes were kept" in result.stderr


def test_rejected_deliveries_are_accepted_once_their_secret_is_set(
    cli: Cli, send: Send, signer: BankSigner, forged: Signed
) -> None:
    new = BankSigner(signer.clock, secret="A" * 43 + "=")
    send(new.sign(deposit(transactionId="FT1")))
    send(new.sign(deposit(transactionId="FT2")))
    send(forged)
    cli.done("secret", "set", "bcb", given=new.secret)
    first = cli.json("deliveries", "list")[-1]["id"]
    assert cli.done("deliveries", "reverify", first) == "Verified 1 again: 1 accepted, 0 rejected.\n"
    assert cli.done("deliveries", "reverify", "--source", "bcb") == "Verified 2 again: 1 accepted, 1 rejected.\n"
    assert [row["reason"] for row in cli.json("deliveries", "list")] == ["signature_mismatch"]
    assert sorted(event["payment_id"] for event in cli.json("events", "list")) == ["FT1", "FT2"]
    assert cli.json("audit", "list")[0]["what"] == "deliveries.reverified"


def test_what_would_have_taken_a_delivery_is_put_right_and_all_is_verified_again(
    cli: Cli, send: Send, signer: BankSigner, forged: Signed
) -> None:
    send(forged)
    refused = cli.run("deliveries", "put-right", cli.json("deliveries", "list")[0]["id"])
    assert (refused.exit_code, "no option of the source would have taken it" in refused.stderr) == (1, True)
    other = BankSigner(signer.clock, encoding="utf8")
    for name in ("FT1", "FT2"):
        send(other.sign(deposit(transactionId=name)))
    newest = cli.json("deliveries", "list")[0]["id"]
    assert cli.done("deliveries", "put-right", newest) == "Verified 3 again: 2 accepted, 1 rejected.\n"
    assert cli.json("source", "show", "bcb")["options"]["encoding"] == "utf8"
    acts = [entry["what"] for entry in cli.json("audit", "list", "--limit", "3")]
    assert acts == ["deliveries.reverified", "source.set", "deliveries.explained"]


def test_a_filter_that_leaves_no_delivery_is_said(cli: Cli, send: Send, forged: Signed) -> None:
    assert cli.run("deliveries", "list").stderr == "No late or rejected delivery is kept.\n"
    send(forged)
    assert cli.run("deliveries", "list", "--contains", "nothing like it").stderr == "None of these is kept.\n"


def test_why_somebody_reads_a_body_is_noted(cli: Cli, send: Send, forged: Signed) -> None:
    send(forged)
    (found,) = cli.json("deliveries", "list")
    assert cli.run("deliveries", "raw", found["id"], "--reason", " ").exit_code == 1
    cli.done("deliveries", "raw", found["id"], "--reason", "case 7")
    assert [entry["why"] for entry in cli.json("audit", "list")] == ["case 7"]


@pytest.mark.usefixtures("known")
def test_a_delivery_that_is_not_rejected_can_not_be_verified_again(cli: Cli) -> None:
    result = cli.run("deliveries", "reverify", "dlv_none")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no rejected delivery 'dlv_none'\n")
    assert cli.json("deliveries", "reverify") == {"verified": 0, "accepted": [], "late": [], "cut": []}


def late(signer: BankSigner, **changes: Any) -> Signed:
    return signer.sign(deposit(**changes), timestamp=str(int(signer.clock().timestamp()) - 3600))


def test_late_deliveries_are_listed_shown_and_accepted_with_a_reason(
    cli: Cli, send: Send, signer: BankSigner, forged: Signed
) -> None:
    send(forged)
    assert send(late(signer)).status_code == 401
    assert sorted(row["verdict"] for row in cli.json("deliveries", "list")) == ["late", "rejected"]
    assert len(cli.json("deliveries", "list", "--limit", "1")) == 1
    (found,) = cli.json("deliveries", "list", "--verdict", "late", "--source", "bcb")
    assert (found["reason"], found["detail"].split()[1:]) == ("timestamp_stale", ["s", "old,", "300", "s", "allowed"])
    assert "bcb late deliveries: 1 wait for the bank, or for a person" in cli.run("doctor").stdout
    (told,) = cli.json("deliveries", "show", found["id"])["tells"]
    assert (told["type"], told["subject"], told["amount"]) == ("bcb.deposit", "FT2384654NXF6", "1000.00")
    assert 'tells {"type": "bcb.deposit"' in cli.done("deliveries", "show", found["id"])
    text = cli.done("deliveries", "accept", found["id"], "--reason", "the bank confirmed it by telephone")
    (event,) = cli.json("events", "list", "--late")
    assert text == f"Accepted: {event['id']}\n"
    assert event["late"]
    entry = cli.json("audit", "list")[0]
    assert (entry["what"], entry["why"]) == ("deliveries.accepted", "the bank confirmed it by telephone")
    assert entry["about"] == {"delivery": found["id"], "source": "bcb", "events": [event["id"]]}
    assert cli.json("deliveries", "list", "--verdict", "late") == []
    assert "late deliveries" not in cli.run("doctor").stdout


def test_only_a_late_delivery_can_be_accepted_and_only_with_a_reason(
    cli: Cli, send: Send, signer: BankSigner, forged: Signed
) -> None:
    send(forged)
    event_id = send(signer.sign(deposit())).get_json()["events"][0]
    send(late(signer, transactionId="FT1"))
    ids = {row["verdict"]: row["id"] for row in cli.json("deliveries", "list")}
    accepted = told_by(cli, event_id)[0]
    before = len(cli.json("audit", "list"))
    for delivery_id, words in (
        (ids["rejected"], "is rejected, and only a late one can be accepted; see `receiver deliveries reverify`"),
        (accepted, "is accepted, and only a late one can be accepted"),
        ("dlv_none", "there is no delivery 'dlv_none'"),
    ):
        result = cli.run("deliveries", "accept", delivery_id, "--reason", "it looks right")
        assert (result.exit_code, result.stderr.rstrip().endswith(words)) == (1, True)
    for reason in ("", "  ", "x" * 501):
        result = cli.run("deliveries", "accept", ids["late"], "--reason", reason)
        assert (result.exit_code, result.stderr) == (1, "Error: give a reason, up to 500 characters\n")
    assert cli.run("deliveries", "accept", ids["late"]).exit_code == 2
    assert len(cli.json("audit", "list")) == before
    assert [event["payment_id"] for event in cli.json("events", "list")] == ["FT2384654NXF6"]


def test_what_becomes_late_when_it_is_verified_again_is_said(cli: Cli, send: Send, signer: BankSigner) -> None:
    other = BankSigner(signer.clock, secret="A" * 43 + "=")
    for sent in (late(other), late(other, transactionDetails="x" * 20_000), other.sign(deposit(transactionId="FT1"))):
        assert send(sent).status_code == 401
    cli.done("secret", "set", "bcb", given=other.secret)
    assert cli.done("deliveries", "reverify") == (
        "Verified 3 again: 1 accepted, 1 late, 1 rejected. "
        "Of 1 body, headers or path were not kept whole, so nothing can be proven of them any more.\n"
    )
    about = cli.json("audit", "list")[0]["about"]
    assert (about["accepted"], about["late"]) == (1, 1)
