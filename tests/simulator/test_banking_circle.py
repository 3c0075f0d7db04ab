import base64
import hashlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator.callers import BankCaller, FakeClock, Received, Receiver, Start, StartBank, until

from receiver.simulator.banking_circle import Config, Simulator
from receiver.simulator.banking_circle.config import EXAMPLE_KEY
from receiver.simulator.banking_circle.notifications import KINDS
from receiver.simulator.banking_circle.payments import sandbox_script


class BankingCircle(BankCaller[Simulator]):
    """Calls one simulator over mutual TLS, with a token."""

    def get(self, path: str, **more: Any) -> requests.Response:
        certificates = self.simulator.certificates
        more = {"cert": str(certificates.client_pem), **more}
        return self.session.get(self.simulator.url + path, verify=str(certificates.ca), timeout=60, **more)

    def authorize(self, user: str = "simulator-user:simulator-password") -> requests.Response:
        return self.get("/api/v1/authorizations/authorize", auth=tuple(user.split(":")))

    def bank(self, path: str) -> requests.Response:
        self.token = self.token or self.authorize().json()["access_token"]
        return self.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"})

    def pay(self, amount: str = "100.00", **more: Any) -> Any:
        return self.control("/payments", {"amount": amount, **more})

    def subscription(self, method: str, path: str = "", body: object = None) -> requests.Response:
        self.token = self.token or self.authorize().json()["access_token"]
        files, url = self.simulator.certificates, f"{self.simulator.url}/api/v1/notificationselfservice{path}"
        more: dict[str, Any] = {"cert": str(files.client_pem), "verify": str(files.ca), "timeout": 60}
        return self.session.request(method, url, json=body, headers={"Authorization": f"Bearer {self.token}"}, **more)

    def status(self, payment: dict[str, Any]) -> Any:
        return self.bank(f"/payments/singles/{payment['paymentId']}/status").json()["status"]


@pytest.fixture
def start(start_bank: StartBank) -> Start[BankingCircle]:
    def starter(*, sleep: Any = None, **options: Any) -> BankingCircle:
        return start_bank(BankingCircle, Simulator, Config(**options), sleep=sleep)

    return starter


@pytest.fixture
def bank(start: Start[BankingCircle]) -> BankingCircle:
    return start()


@pytest.fixture
def subscribed(start: Start[BankingCircle], receiver: Receiver) -> BankingCircle:
    return start(callback_url=receiver.url, sleep=lambda _: False)


def text_of(request: Received, key: bytes | None = None) -> str:
    """Decrypt a callback as the sheet says; checksum and all."""
    nonce, tag, checksum = (base64.b64decode(request.headers[n]) for n in ("Nonce", "AuthenticationTag", "Checksum"))
    decryptor = Cipher(algorithms.AES(key or EXAMPLE_KEY.encode()), modes.GCM(nonce, tag)).decryptor()
    text = (decryptor.update(request.body) + decryptor.finalize()).decode("utf-16-le")
    assert hashlib.sha256(text.removeprefix("\ufeff").encode()).digest() == checksum, "checksum"
    return text


def opened(request: Received, key: bytes | None = None) -> Any:
    return json.loads(text_of(request, key), parse_float=Decimal)


def kinds(receiver: Receiver) -> list[str]:
    return [entry["notificationType"] for request in receiver.received for entry in opened(request)["notifications"]]


def pem_of(pfx: Path, folder: Path, passcode: bytes = b"simulator-passcode") -> str:
    key, certificate, _ = pkcs12.load_key_and_certificates(pfx.read_bytes(), passcode)
    assert key is not None
    assert certificate is not None
    path = folder / f"{pfx.stem}.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    return str(path)


def test_it_tells_a_token_its_lifetime_as_a_text_and_its_type_only_sometimes(bank: BankingCircle) -> None:
    answers = [bank.authorize().json() for _ in range(2)]

    assert [answer["expires_in"] for answer in answers] == ["300", "300"]
    assert ["token_type" in answer for answer in answers] == [True, False]


def test_it_refuses_a_wrong_password_with_401(bank: BankingCircle) -> None:
    assert bank.authorize("simulator-user:wrong").status_code == 401


def test_it_answers_429_to_too_many_token_requests_until_the_window_is_over(
    start: Start[BankingCircle], clock: FakeClock
) -> None:
    bank = start(token_requests=2, token_window_seconds=60)

    assert [bank.authorize().status_code for _ in range(3)] == [200, 200, 429]
    assert bank.authorize().headers["Retry-After"] == "60"
    clock.advance(60)
    assert bank.authorize().status_code == 200


def test_a_token_is_good_until_it_expires(bank: BankingCircle, clock: FakeClock) -> None:
    assert bank.bank("/accounts").status_code == 200
    clock.advance(300)
    assert bank.bank("/accounts").status_code == 401


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("shown", "alert"), [("expired_pfx", "expired"), ("wrong_ca_pfx", "unknown ca"), (None, "handshake|required")]
)
def test_it_tells_bad_client_certificates_apart_in_its_alert(
    start: Start[BankingCircle], tmp_path: Path, version: str, shown: str | None, alert: str
) -> None:
    bank = start(tls_version=version)
    certificate = pem_of(getattr(bank.simulator.certificates, shown), tmp_path) if shown else None

    with pytest.raises(requests.exceptions.RequestException) as refused:
        bank.get("/api/v1/accounts", cert=certificate)

    assert re.search(alert, str(refused.value).replace("_", " "), re.IGNORECASE)


def test_the_good_certificate_comes_as_pfx_too(bank: BankingCircle, tmp_path: Path) -> None:
    certificate = pem_of(bank.simulator.certificates.client_pfx, tmp_path)

    assert bank.get("/api/v1/accounts", cert=certificate).status_code == 401


def test_a_wrong_passcode_does_not_open_the_pfx(bank: BankingCircle) -> None:
    with pytest.raises(ValueError, match="Invalid password"):
        pkcs12.load_key_and_certificates(bank.simulator.certificates.client_pfx.read_bytes(), b"wrong")


def test_it_speaks_no_tls_below_1_2(bank: BankingCircle) -> None:
    host, _, port = bank.simulator.url.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cafile=str(bank.simulator.certificates.ca))
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    with pytest.raises(ssl.SSLError), socket.create_connection((host, int(port))) as raw:
        context.wrap_socket(raw, server_hostname=host)


def test_a_client_that_stalls_in_its_handshake_holds_up_nobody(bank: BankingCircle) -> None:
    host, _, port = bank.simulator.url.removeprefix("https://").partition(":")
    with socket.create_connection((host, int(port))):
        assert bank.authorize().status_code == 200


def test_its_plain_port_serves_the_control_endpoints_alone(bank: BankingCircle) -> None:
    assert requests.get(f"{bank.simulator.control_url}/api/v1/accounts", timeout=60).status_code == 404
    assert "subscription_version" in bank.control("/options", method="GET")["options"]


def test_the_certificates_of_a_run_go_when_it_ends() -> None:
    with Simulator() as simulator:
        folder = simulator.certificates.ca.parent
        assert folder.is_dir()
    assert not folder.exists()


def test_a_folder_that_was_given_stays(tmp_path: Path) -> None:
    with Simulator(Config(folder=str(tmp_path / "certificates"))):
        pass
    assert (tmp_path / "certificates" / "client.pfx").exists()


@pytest.mark.parametrize(
    ("amount", "statuses"),
    [
        ("100.00", ["PendingProcessing", "Processed", "Processed"]),
        ("13.00", ["PendingProcessing", "MissingFunding", "Rejected"]),
        ("17", ["PendingProcessing", "PendingProcessing", "PendingProcessing"]),
        ("19.00", ["Rejected", "Rejected", "Rejected"]),
        ("27.00", ["PendingProcessing", "Processed", "Reversed"]),
        ("53.00", ["PendingProcessing", "PendingCancellation", "Cancelled"]),
    ],
)
def test_a_payment_goes_the_way_of_its_sandbox_amount(amount: str, statuses: list[str]) -> None:
    script = sandbox_script(Decimal(amount), 2)

    assert [script.at(seconds) for seconds in (0, 3, 100_000)] == statuses


def test_it_answers_a_payment_s_status_alone_or_all_of_it_by_id_and_by_reference(
    bank: BankingCircle, clock: FakeClock
) -> None:
    payment = bank.pay(currency="GBP")
    clock.advance(2)

    assert bank.bank(f"/payments/singles/{payment['paymentId']}/status").json() == {"status": "Processed"}
    whole = bank.bank(f"/payments/singles/{payment['paymentId']}")
    assert '"amount": {"currency": "GBP", "amount": 100.00}' in whole.text
    reference = payment["transactionReference"]
    assert bank.bank(f"/payments/singles/transactionreference/{reference}").json() == whole.json()


def test_a_payment_that_the_bank_does_not_know_is_404(bank: BankingCircle) -> None:
    bank.control("/payments/P1", {"script": [["unknown", 5], ["Processed"]]}, "PUT")

    paths = ("/payments/singles/P1", "/payments/singles/P1/status", "/payments/singles/none/status")
    assert {bank.bank(path).status_code for path in paths} == {404}


def test_a_return_is_a_new_incoming_payment_that_names_the_original(bank: BankingCircle, clock: FakeClock) -> None:
    original = bank.pay("177.00")
    clock.advance(30)
    until(lambda: len(bank.control("/payments", method="GET")["payments"]) == 2)

    listed = bank.bank("/payments/singles?Classification=Incoming").json()["result"]
    assert [(entry["return"], entry["transfer"]["amount"]["amount"]) for entry in listed] == [(True, 147.0)]
    assert listed[0]["transfer"]["remittanceInformation"]["line2"] == original["transactionReference"]
    assert bank.status(original) == "Processed"


def test_it_lists_payments_in_pages_newest_first(bank: BankingCircle) -> None:
    ids = [bank.pay()["paymentId"] for _ in range(3)]

    pages = [bank.bank(f"/payments/singles?PageSize=2&PageNumber={number}").json() for number in (1, 2)]
    assert [[entry["paymentId"] for entry in page["result"]] for page in pages] == [[ids[2], ids[1]], [ids[0]]]
    assert pages[1]["pageInfo"] == {"currentPage": 2, "pageSize": 2, "rowCount": 3}


def test_it_spells_a_list_either_way_and_may_leave_the_count_out(bank: BankingCircle) -> None:
    bank.change(spelling="upper", row_count=False)

    assert bank.bank("/accounts?PageSize=1").json()["PageInfo"] == {"CurrentPage": 1, "PageSize": 1, "RowCount": None}


@pytest.mark.parametrize("query", ["Status=Rejected", "AccountId=none", "InstructedDateTo=2026-03-01"])
def test_a_filter_leaves_out_what_does_not_fit(bank: BankingCircle, query: str) -> None:
    bank.pay()

    assert bank.bank(f"/payments/singles?{query}").json()["result"] == []


@pytest.mark.parametrize("query", ["PageSize=0", "PageSize=5001", "PageNumber=x"])
def test_a_page_out_of_range_is_a_400(bank: BankingCircle, query: str) -> None:
    assert bank.bank(f"/payments/singles?{query}").json()["title"] == "BadRequest"


def test_accounts_come_in_pages_as_one_bare_account_or_not_at_all(bank: BankingCircle) -> None:
    assert len(bank.bank("/accounts").json()["result"]) == 3
    bank.change(accounts_shape="bare")
    assert bank.bank("/accounts").json()["accountDescription"] == "Account 1"
    bank.control("/accounts", {"count": 0}, "PUT")
    assert bank.bank("/accounts").status_code == 404


@pytest.mark.parametrize(
    ("shape", "holds"),
    [
        ("errors", '"httpStatus": 409'),
        ("validation", '"status": 409'),
        ("properties", '"propertyName"'),
        ("problem", '"detail"'),
        ("code", '"errorMessage"'),
        ("empty", ""),
    ],
)
def test_an_error_comes_in_any_shape(bank: BankingCircle, shape: str, holds: str) -> None:
    bank.control("/faults", {"kind": "error", "status": 409, "path": "/api/v1/accounts", "shape": shape})

    answer = bank.bank("/accounts")
    assert (answer.status_code, holds in answer.text, answer.text == "") == (409, True, shape == "empty")


def test_each_change_of_status_is_told_in_an_encrypted_batch(
    subscribed: BankingCircle, receiver: Receiver, clock: FakeClock
) -> None:
    payment = subscribed.pay("27.00", remittance=["Größe ✓"])
    clock.advance(2)
    until(lambda: len(receiver.received) == 1)
    clock.advance(30)
    until(lambda: len(receiver.received) == 2)

    assert kinds(receiver) == ["OutgoingPaymentProcessed", "OutgoingPaymentBooked", "Reversed"]
    request = receiver.received[0]
    assert request.headers["Content-Type"] == "application/octet-stream"
    assert request.headers["SubscriptionVersion"] == "1"
    first = opened(request)["notifications"][0]
    assert first["payment"]["paymentId"] == payment["paymentId"]
    assert first["payment"]["transfer"]["remittanceInformation"] == {"line1": "Größe ✓"}
    assert re.fullmatch(r"2026-03-02T12:00:02\.[0-9]{7}Z", first["timestamp"])


@pytest.mark.parametrize(("amount", "kind"), [("19.00", "OutgoingPaymentRejected"), ("13.00", "MissingFunding")])
def test_what_goes_wrong_is_told_too(
    subscribed: BankingCircle, receiver: Receiver, clock: FakeClock, amount: str, kind: str
) -> None:
    subscribed.pay(amount)
    clock.advance(2)
    until(lambda: receiver.received)

    assert kinds(receiver) == [kind]


def test_booked_may_come_before_processed(subscribed: BankingCircle, receiver: Receiver) -> None:
    subscribed.change(booked="before")
    subscribed.pay(classification="Incoming")
    until(lambda: receiver.received)

    assert kinds(receiver) == ["IncomingPaymentBooked", "IncomingPaymentProcessed"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_notification_can_be_sent(subscribed: BankingCircle, receiver: Receiver, kind: str) -> None:
    subscribed.control("/notifications", {"type": kind})

    (sent,) = opened(receiver.received[0])["notifications"]
    assert sent["notificationType"] == kind
    assert ("payment" in sent) != ("payload" in sent)
    shown = sent.get("payment") or sent["payload"]
    has = {name for name in ("transfer", "debtorInformation", "amount", "TransactionReference") if shown.get(name)}
    expected = {
        "IncomingPaymentBooked": {"amount"},
        "OutgoingPaymentBooked": {"amount"},
        "OutgoingPaymentRejected": {"debtorInformation"},
        "MissingFunding": {"debtorInformation"},
        "PaymentStatus": {"TransactionReference"},
    }
    assert has >= expected.get(kind, set())
    assert not (kind in expected and "transfer" in has)


def test_a_thousand_notifications_come_in_one_callback_and_one_more_in_the_next(
    subscribed: BankingCircle, receiver: Receiver
) -> None:
    subscribed.control("/notifications", {"count": 1001})

    batches = [opened(request)["notifications"] for request in receiver.received]
    assert [len(batch) for batch in batches] == [1000, 1]
    assert len({entry["eventId"] for batch in batches for entry in batch}) == 1001


def test_notifications_can_be_sent_in_another_order_and_twice(subscribed: BankingCircle, receiver: Receiver) -> None:
    events = [{"eventId": str(number)} for number in range(3)]
    subscribed.control("/notifications", {"notifications": events, "order": "reversed", "batchSize": 1, "copies": 2})

    sent = [opened(request)["notifications"][0]["eventId"] for request in receiver.received]
    assert sent == ["2", "2", "1", "1", "0", "0"]
    assert len({request.headers["Nonce"] for request in receiver.received}) == 6


def test_a_bare_array_and_a_byte_order_mark_are_options(subscribed: BankingCircle, receiver: Receiver) -> None:
    subscribed.change(envelope="array", byte_order_mark=True)
    subscribed.control("/notifications")

    text = text_of(receiver.received[0])
    assert text.startswith("\ufeff[{")


def test_a_key_may_be_the_base64_of_its_bytes(subscribed: BankingCircle, receiver: Receiver) -> None:
    key = bytes(range(32))
    subscribed.change(encryption_key=base64.b64encode(key).decode(), key_encoding="base64")
    subscribed.control("/notifications")

    assert len(opened(receiver.received[0], key)["notifications"]) == 1


@pytest.mark.parametrize("variant", ["forged", "altered-body", "altered-tag", "altered-nonce"])
def test_what_is_spoilt_does_not_decrypt(subscribed: BankingCircle, receiver: Receiver, variant: str) -> None:
    subscribed.control("/notifications", {"variant": variant})

    with pytest.raises(InvalidTag):
        text_of(receiver.received[0])


def test_a_spoilt_checksum_is_not_that_of_the_text(subscribed: BankingCircle, receiver: Receiver) -> None:
    subscribed.control("/notifications", {"variant": "altered-checksum"})

    with pytest.raises(AssertionError, match="checksum"):
        text_of(receiver.received[0])


def test_it_repeats_the_same_bytes_or_the_same_text_newly_encrypted(
    subscribed: BankingCircle, receiver: Receiver
) -> None:
    subscribed.control("/notifications")
    subscribed.control("/notifications", {"variant": "again"})
    subscribed.control("/notifications", {"variant": "again-encrypted"})

    first, repeated, anew = receiver.received
    assert (repeated.body, repeated.headers["Nonce"]) == (first.body, first.headers["Nonce"])
    assert anew.headers["Nonce"] != first.headers["Nonce"]
    assert opened(anew) == opened(first)


def test_it_tries_again_by_the_schedule_until_any_2xx(start: Start[BankingCircle], receiver: Receiver) -> None:
    waits = []
    bank = start(callback_url=receiver.url, speed=10, sleep=lambda seconds: waits.append(seconds))
    receiver.statuses += [500, 401, 404, 202]

    answer = bank.control("/notifications")

    assert (answer["active"], answer["deliveries"][0]["accepted"]) == (True, True)
    assert waits == [1.5, 3.0, 6.0]
    assert len({request.headers["Nonce"] for request in receiver.received}) == 1


def test_the_files_with_a_certificate_may_have_no_passcode(start: Start[BankingCircle]) -> None:
    files = start(passcode="").simulator.certificates
    for pfx in (files.client_pfx, files.expired_pfx, files.wrong_ca_pfx):
        assert pkcs12.load_pkcs12(pfx.read_bytes(), None).key is not None


SUBSCRIPTION = {"endpoint": "https://a.example/x", "status": 1, "encryptionKey": EXAMPLE_KEY, "description": "ours"}


def test_a_change_of_a_subscription_holds_for_all_that_is_given(bank: BankingCircle) -> None:
    made = bank.subscription("POST", "/subscription", SUBSCRIPTION).json()
    path = f"/subscription/{made['subscriptionId']}"
    assert (made["endpoint"], made["description"]) == ("https://a.example/x", "ours")

    change = {"status": 2, "endpoint": "https://b.example/y", "rowVersion": made["rowVersion"]}
    changed = bank.subscription("PUT", path, change).json()
    assert changed == made | change | {"rowVersion": "v2"}
    changed = bank.subscription("PUT", path, {"status": 1, "description": None, "rowVersion": "v2"}).json()
    assert (changed["endpoint"], changed["description"]) == ("https://b.example/y", None)
    assert bank.subscription("GET", path).json() == changed


@pytest.mark.parametrize("wrong", [True, 1.0, "1", None, [1], 3], ids=repr)
def test_a_status_or_an_event_that_is_none_is_refused(bank: BankingCircle, wrong: object) -> None:
    assert bank.subscription("POST", "/subscription", SUBSCRIPTION | {"status": wrong}).status_code == 400
    made = bank.subscription("POST", "/subscription", SUBSCRIPTION).json()
    path, version = f"/subscription/{made['subscriptionId']}", made["rowVersion"]
    assert bank.subscription("PUT", path, {"status": wrong, "rowVersion": version}).status_code == 400
    event = {"subscriptionId": made["subscriptionId"], "eventType": 9 if wrong == 3 else wrong, "targetIds": ["c"]}
    assert bank.subscription("POST", "/subscriptionevent", event).status_code == 400
    assert bank.subscription("GET", path).json() == made


@pytest.mark.parametrize("wrong", [{"endpoint": "no address"}, {"endpoint": None}, {"description": 1}], ids=str)
def test_a_change_that_is_refused_changes_nothing(bank: BankingCircle, wrong: dict[str, object]) -> None:
    made = bank.subscription("POST", "/subscription", SUBSCRIPTION).json()
    path = f"/subscription/{made['subscriptionId']}"
    refused = bank.subscription("PUT", path, {"status": 2, "rowVersion": made["rowVersion"], **wrong})
    assert refused.status_code == 400
    assert bank.subscription("GET", path).json() == made


def test_while_a_batch_is_tried_once_more_those_behind_it_are_sent(
    start: Start[BankingCircle], receiver: Receiver
) -> None:
    tried = threading.Event()
    bank = start(callback_url=receiver.url, batch_size=1, sleep=lambda _: not tried.wait(120))
    receiver.statuses = [500]
    bank.pay(script=[["Processed"]])
    until(lambda: len(receiver.received) == 2)
    assert kinds(receiver) == ["OutgoingPaymentProcessed", "OutgoingPaymentBooked"]

    tried.set()
    until(lambda: len(receiver.received) == 3)
    assert receiver.received[2].body == receiver.received[0].body


def test_after_the_last_try_the_subscription_is_off_and_what_happens_meanwhile_is_never_sent(
    subscribed: BankingCircle, receiver: Receiver
) -> None:
    receiver.statuses += [500] * 12
    assert subscribed.control("/notifications")["active"] is False
    assert len(receiver.received) == 12

    assert subscribed.control("/notifications", {"count": 3}) == {
        "deliveries": [],
        "active": False,
        "failed": 1,
        "missed": 4,
    }
    assert subscribed.control("/subscription", {"active": True}, "PUT") == {
        "active": True,
        "failed": 0,
        "missed": 4,
    }
    subscribed.control("/notifications")

    assert len(receiver.received) == 13


def test_a_payment_made_while_the_subscription_is_off_is_found_by_polling_alone(
    subscribed: BankingCircle, receiver: Receiver, clock: FakeClock
) -> None:
    subscribed.control("/subscription", {"active": False}, "PUT")
    payment = subscribed.pay()
    clock.advance(2)
    until(lambda: subscribed.control("/subscription", method="GET")["missed"] == 2)

    assert subscribed.status(payment) == "Processed"
    assert receiver.received == []


def test_it_says_what_it_missed_to_send_nothing_where_there_is_no_address(bank: BankingCircle) -> None:
    answer = bank.control("/notifications", status=400)

    assert "callback url" in answer["message"]


def test_the_journal_counts_the_token_requests(bank: BankingCircle) -> None:
    bank.bank("/accounts")
    bank.bank("/accounts")

    paths = Counter(entry["path"] for entry in bank.control("/requests", method="GET")["requests"])
    assert paths == {"/api/v1/authorizations/authorize": 1, "/api/v1/accounts": 2}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"folder": "/elsewhere"}, "fixed"),
        ({"speling": "upper"}, "speling"),
        ({"spelling": "middle"}, "spelling"),
        ({"speed": 0}, "speed"),
        ({"encryption_key": "short"}, "32 bytes"),
        ({"retry_delays": [1, -1]}, "retry_delays"),
    ],
)
def test_an_option_that_does_not_fit_changes_nothing(bank: BankingCircle, options: Any, named: str) -> None:
    before = bank.control("/options", method="GET")

    assert named in bank.control("/options", options, "PATCH", status=400)["message"]
    assert bank.control("/options", method="GET") == before


def test_the_options_tell_no_secret(bank: BankingCircle) -> None:
    shown = bank.control("/options", method="GET")["options"]

    assert not {"password", "passcode", "encryption_key"} & set(shown)


def test_it_starts_from_the_command_line_with_options_of_its_own(tmp_path: Path) -> None:
    words = [*("--bank", "banking_circle", "--port", "0"), *("--option", f"folder={tmp_path}"), "--option", "speed=60"]
    with subprocess.Popen(
        [sys.executable, "-m", "receiver.simulator", *words], stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        url, control = re.findall(r"https?://127\.0\.0\.1:[0-9]+", started.stdout.readline())
        options = requests.get(f"{control}/_simulator/options", timeout=60).json()["options"]
        started.terminate()

    assert (url[:8], options["speed"], started.returncode) == ("https://", 60, 0)


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(), max_size=2)
NAMES = ["amount", "currency", "classification", "script", "remittance", "return", "tell", "type", "count", "padding"]
NAMES += ["notifications", "variant", "delays", "batchSize", "copies", "order", "active", "paymentId", "spelling"]
ROUTES = [("POST", "/payments"), ("PUT", "/payments/P1"), ("POST", "/notifications"), ("PUT", "/subscription")]
ROUTES += [("PUT", "/accounts"), ("PATCH", "/options")]


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    simulator = Simulator(sleep=lambda _: True)
    yield simulator.app.test_client()
    simulator.stop()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), body=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_no_control_input_gets_a_500(client: FlaskClient, route: tuple[str, str], body: Any) -> None:
    method, path = route

    assert client.open(f"/_simulator{path}", method=method, data=json.dumps(body)).status_code in (200, 202, 400)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "hang-up"}, requests.ConnectionError),
        ({"kind": "truncated"}, requests.exceptions.ChunkedEncodingError),
    ],
)
def test_an_answer_can_be_cut_off_below_tls_too(
    bank: BankingCircle, fault: dict[str, object], error: type[Exception]
) -> None:
    bank.bank("/accounts")
    bank.control("/faults", fault)

    with pytest.raises(error):
        bank.bank("/accounts")


def test_a_429_may_come_without_saying_for_how_long(bank: BankingCircle) -> None:
    bank.control("/faults", {"kind": "429", "retryAfter": "absent", "shape": "empty"})

    answer = bank.authorize()
    assert (answer.status_code, answer.text, "Retry-After" in answer.headers) == (429, "", False)
