"""The pages of what happened: found, understood, put right. See the browser's own tests for the whole story."""

import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest
from admin.looking import noted
from bank import BankSigner, deposit
from conftest import StandingClock, add_encrypting_source, add_source
from flask import Flask
from flask.testing import FlaskClient
from reconcile.conftest import book
from reconcile.test_late_deliveries import post, tell_late
from reconcile.test_recovery_races import listed, state
from store.made import delivery, event, record
from web.rows import no_statement_from_native_threads
from web.staff.signed_in import message, send, signed_in

from receiver.admin import exceptions
from receiver.metrics.counters import Counted
from receiver.model import ConsumerAct, ExceptionKind, Role
from receiver.projection.projector import catch_up
from receiver.reconcile.recovery import Recoverer
from receiver.runtime import Runtime
from receiver.simulator.bcb import Config, Simulator
from receiver.store import api_tokens, circuits, consumer_ranges, consumers, leases, payments, sources
from receiver.store import exceptions as stored_exceptions
from receiver.store.consumer_ranges import Range
from receiver.store.exceptions import UNRESOLVED, Opened, Wanted, open_all
from receiver.store.leases import Lease
from receiver.store.sources import SourceRecord
from receiver.web import create_app

SCRIPT = "<script>alert(1)</script>\"'"
OTHER = "A" * 43 + "="


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases; what they stand on is tested on both."""
    return sqlite_url


@pytest.fixture
def viewer(app: Flask, parts: Runtime, source: SourceRecord) -> FlaskClient:  # noqa: ARG001 - there is a source
    return signed_in(app, parts, Role.VIEWER)


@pytest.fixture
def operator(app: Flask, parts: Runtime, source: SourceRecord) -> FlaskClient:  # noqa: ARG001
    return signed_in(app, parts, Role.OPERATOR, payloads=True)


def told(parts: Runtime, bank: BankSigner, **changes: object) -> str:
    """Let the bank tell of a deposit, and return the event's id."""
    answer = post(parts, bank.sign(deposit(**changes)))
    assert answer.json is not None
    event_id: str = answer.json["events"][0]
    return event_id


def links(page: str) -> list[str]:
    return re.findall(r'<a class="open"[^>]* href="([^"]*)"', page)


def test_the_search_box_finds_an_event_by_amount_and_leads_to_it(
    viewer: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    event_id = told(parts, bank)
    told(parts, bank, transactionId="FT-other", value={"amount": "5.00", "currency": "EUR"})
    page = viewer.get("/staff/events?q=1,000.00")
    assert links(page.text) == [f"/staff/events/{event_id}"]
    assert "1046406142" not in page.text
    assert "6142" in page.text
    # htmx gets the list alone, and its address without what is empty.
    part = viewer.get("/staff/events?q=1000&source=&type=", headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert event_id in part.text
    assert part.headers["HX-Replace-Url"] == "/staff/events?q=1000"
    # What is asked for every few seconds is what was searched for.
    assert 'id="found" hx-get="/staff/events?q=1000&amp;' in part.text


def test_a_source_that_there_is_not_is_said_rather_than_that_nothing_needs_a_person(viewer: FlaskClient) -> None:
    page = viewer.get("/staff/exceptions?source=bcbb")
    assert page.status_code == 400
    assert "bcbb" in page.text


def test_a_filter_takes_as_much_as_its_field_lets_one_type_and_as_the_api_takes(viewer: FlaskClient) -> None:
    free = {"q", "contains", "currency", "account", "reference", "payment_id", "reason", "who", "what"}
    for place in ("events", "deliveries", "audit"):
        page = viewer.get(f"/staff/{place}").text
        fields = [re.search(rf'<input[^>]* name="{name}"[^>]* maxlength="(\d+)"', page) for name in free]
        assert {int(each[1]) for each in fields if each is not None} == {256}
        # The search box in the head of every page is the first of that name.
        assert re.findall(r'name="q"[^>]* maxlength="(\d+)"', page) == ["256"] * (2 if place == "events" else 1)
    for asked, status in (("x" * 256, 200), ("x" * 257, 400)):
        for place in ("events?q=", "events?reference=", "deliveries?contains=", "audit?who=", "audit?what="):
            assert viewer.get(f"/staff/{place}{asked}").status_code == status, place


def test_filters_are_in_the_address_and_are_taken_away_one_by_one(
    viewer: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    told(parts, bank)
    page = viewer.get("/staff/events?source=bcb&currency=USD&received_after=2026-03-04T00:00").text
    assert len(links(page)) == 1
    assert 'href="/staff/events?currency=USD&amp;received_after=2026-03-04T00%3A00"' in page
    assert links(viewer.get("/staff/events?source=bcb&currency=EUR").text) == []
    assert len(links(viewer.get("/staff/events?received_before=2026-03-05t00:00z").text)) == 1
    for wrong in (
        "proof=x",
        "source=nobody",
        "amount_min=x",
        "received_after=x",
        "late=x",
        "type=bcb.nothing",
        "q=a&q=b",
    ):
        assert viewer.get(f"/staff/events?{wrong}").status_code == 400, wrong
    assert viewer.get("/staff/events?q=a&below=x").status_code == 400


@pytest.mark.parametrize(
    ("typed", "is_found"),
    [
        *(
            ("1250", True),
            ("1250,00", True),
            ("1,250.00", True),
            ("1.250,00", True),
            ("1 250,00", True),
            ("1,250", True),
        ),
        *(("€ 1250", True), ("1250 €", True), ("€1,250.00", True), ("$\u00a01.250,00", True), ("€ 1250.01", False)),
        *(("1250.01", False), ("1250,01", False), ("125,000", False), ("1.251,00", False), ("1.250", True)),
    ],
)
def test_an_amount_is_filtered_by_as_people_write_it(
    viewer: FlaskClient, parts: Runtime, bank: BankSigner, typed: str, is_found: bool
) -> None:
    event_id = told(parts, bank, value={"amount": "1250.00", "currency": "EUR"})
    page = viewer.get("/staff/events", query_string={"amount_min": typed})
    assert (page.status_code, event_id in page.text) == (200, is_found)


@pytest.mark.parametrize("typed", ["-1", "€ -1", "-€1", "€ €", "1e5", "12,50,1", "€", ".", "x", "1'00", "9" * 40, "٣"])
def test_what_is_no_amount_is_refused(viewer: FlaskClient, typed: str) -> None:
    assert viewer.get("/staff/events", query_string={"amount_max": typed}).status_code == 400


def test_an_event_shows_all_that_happened_around_it(
    viewer: FlaskClient, parts: Runtime, bank: BankSigner, clock: StandingClock
) -> None:
    event_id = told(parts, bank)
    catch_up(parts.database)
    clock.forward(60)
    with parts.database.write() as connection:
        api_tokens.create(connection, name="app", scopes=["feed:read"], sources=[], now=clock(), expires_at=None)
        consumers.create(connection, "ledger", clock(), "app")
        consumer_ranges.note(connection, "ledger", ConsumerAct.READ, "app", Range(0, 1), clock())
    page = viewer.get(f"/staff/events/{event_id}").text
    happened = re.findall(r'<li class="[a-z]+"><b>(\w+)', page)
    assert happened == ["Signed", "Received", "Proven", "Fed", "Read"]
    assert "secret:1" in page
    assert "ledger has read position 1, with the token app" in page
    assert "Read the payload" not in page
    assert viewer.post(f"/staff/events/{event_id}/payload").status_code == 403


def test_a_payload_is_read_with_a_reason_by_who_may(operator: FlaskClient, parts: Runtime, bank: BankSigner) -> None:
    event_id = told(parts, bank)
    page, action = f"/staff/events/{event_id}", f"/staff/events/{event_id}/payload"
    assert send(operator, page, action, {"reason": " "}).status_code == 400
    with no_statement_from_native_threads(parts):
        read = send(operator, page, action, {"reason": "ticket 7"})
    assert "&#34;transactionId&#34;: &#34;FT2384654NXF6&#34;" in read.text
    assert "operator read what the bank sent" in operator.get(page).text
    assert "“ticket 7”" in operator.get(page).text
    assert [what for _, what, _ in noted(parts)].count("payload.read") == 1


def test_what_a_sweep_found_is_never_shown_as_proven(
    operator: FlaskClient, parts: Runtime, source: SourceRecord, clock: StandingClock, bank: BankSigner
) -> None:
    listed(parts, source, clock, ["FT7"], amount="1000.00", currency="USD")
    Recoverer(parts).run(source)
    ((_, _, _, event_id),) = state(parts)[0]
    page = operator.get(f"/staff/events/{event_id}").text
    assert "proven by nothing" in page
    assert "The bank lists" in page
    assert "A sweep found it at the bank: no callback had come for it." in page
    assert "Read the payload" not in page
    packed = json.loads(operator.get(f"/staff/events/{event_id}/evidence.json").text)
    assert (packed["event"]["found_by"], packed["event"]["proof"], packed["deliveries"]) == ("sweep", "none", [])
    assert told(parts, bank, transactionId="FT7") == event_id
    page = operator.get(f"/staff/events/{event_id}").text
    assert "proven by signature" in page
    assert "Its callback came after all" in page
    assert "Read the payload" in page


def test_conflicting_contents_stand_side_by_side_with_their_differences_marked(
    operator: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    event_id = told(parts, bank)
    assert told(parts, bank, transactionDetails="otherwise") == event_id
    page = operator.get(f"/staff/events/{event_id}").text
    assert "It came with other content too" in page
    with no_statement_from_native_threads(parts):
        laid = send(operator, f"/staff/events/{event_id}", f"/staff/events/{event_id}/contents", {"reason": "ticket 8"})
    assert re.findall(r"<mark>(.*?)</mark>", laid.text) == ["Payment details", "otherwise"]


def test_the_evidence_names_keys_and_digests_and_holds_nothing_secret(
    viewer: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    event_id = told(parts, bank, transactionDetails="a|b <i>*")
    packed = json.loads(viewer.get(f"/staff/events/{event_id}/evidence.json").text)
    assert packed["event"]["proof_key"] == "secret:1"
    assert packed["deliveries"][0]["body_sha256"] == packed["event"]["body_sha256"]
    assert packed["audit"]["entries"][-1]["what"] == "evidence.made"
    assert len(packed["audit"]["entries"][-1]["digest"]) == 64
    written = viewer.get(f"/staff/events/{event_id}/evidence.md")
    assert written.mimetype == "text/markdown"
    assert "attachment" in written.headers["Content-Disposition"]
    for text in (written.text, json.dumps(packed)):
        assert "1046406142" not in text
        assert bank.secret not in text
    assert "<i>" not in written.text
    assert viewer.get("/staff/events/evt_none/evidence.md").status_code == 404


def test_what_a_refused_delivery_lacked_is_found_and_put_right(
    app: Flask, operator: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    signed = BankSigner(bank.clock, encoding="utf8").sign(deposit())
    assert post(parts, signed).status_code == 401
    (page,) = links(operator.get("/staff/deliveries?verdict=rejected&source=bcb").text)
    found = send(operator, page, f"{page}/explain").text
    assert "An admin can put it right here" in found
    assert operator.post(f"{page}/put-right").status_code == 403
    admin = signed_in(app, parts, Role.ADMIN)
    token = re.search(
        rf'action="{page}/put-right"[^>]*>\s*<input[^>]*name="form_token" value="([^"]+)"',
        send(admin, page, f"{page}/explain").text,
    )
    assert token is not None
    answered = admin.post(f"{page}/put-right", data={"form_token": token[1]})
    assert message(admin, answered) == "Verified 1 again: 1 accepted, 0 rejected."
    assert {what for _, what, _ in noted(parts)} >= {"source.set", "deliveries.reverified", "deliveries.explained"}
    assert len(links(operator.get("/staff/events").text)) == 1


def test_verifying_again_says_of_what_nothing_can_be_proven_any_more(
    operator: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    signed = bank.sign(deposit())
    assert post(parts, replace(signed, body=b"x" * 20_000)).status_code == 401
    (page,) = links(operator.get("/staff/deliveries?verdict=rejected").text)
    said = message(operator, send(operator, page, f"{page}/reverify"))
    assert said.startswith("Verified 1 again: 0 accepted, 1 rejected. Of 1 body, headers or path were not kept whole")


def test_the_filter_for_stalled_payments_takes_true_and_false_alone(viewer: FlaskClient, parts: Runtime) -> None:
    source = add_source(parts, "second")
    record(parts, delivery(parts, source), event(parts, "FT1"))
    assert links(viewer.get("/staff/payments?stalled=false").text) == ["/staff/payments/second/FT1"]
    page = viewer.get("/staff/payments?stalled=true").text
    assert (links(page), '<option value="false">no</option>' in page) == ([], True)
    for path in ("payments", "jobs"):
        assert viewer.get(f"/staff/{path}?stalled=yes").status_code == 400


def test_a_list_that_a_filter_leaves_nothing_of_says_so(viewer: FlaskClient, parts: Runtime) -> None:
    add_source(parts, "second")
    for path, words in (
        ("payments", "There is none of these."),
        ("deliveries", "None of these is kept."),
        ("exceptions", "There is none of these."),
    ):
        assert words in viewer.get(f"/staff/{path}?source=second").text, path
        assert words not in viewer.get(f"/staff/{path}").text, path


def test_a_late_delivery_is_accepted_with_a_reason(operator: FlaskClient, parts: Runtime) -> None:
    tell_late(parts)
    (page,) = links(operator.get("/staff/deliveries?verdict=late").text)
    assert "FT1" in operator.get(page).text
    answered = send(operator, page, f"{page}/accept", {"reason": "seen at the bank"})
    assert message(operator, answered).startswith("Accepted: evt_")
    assert "late" in operator.get("/staff/events").text


def test_what_needs_a_person_is_acknowledged_and_resolved(operator: FlaskClient, parts: Runtime) -> None:
    tell_late(parts)
    (page,) = links(operator.get("/staff/exceptions").text)
    send(operator, page, f"{page}/acknowledge", {"note": "mine"})
    assert "staff:operator" in operator.get("/staff/exceptions").text
    answered = send(operator, page, f"{page}/resolve", {"note": "done"})
    assert message(operator, answered).startswith("Resolved")
    assert links(operator.get("/staff/exceptions").text) == []
    assert links(operator.get("/staff/exceptions?state=resolved&kind=late").text) == [page]
    assert "acknowledge" not in operator.get(page).text


def test_a_note_is_as_long_as_its_field_takes_with_new_lines_and_all(operator: FlaskClient, parts: Runtime) -> None:
    tell_late(parts)
    (page,) = links(operator.get("/staff/exceptions").text)
    assert set(re.findall(r'<textarea[^>]* maxlength="(\d+)"', operator.get(page).text)) == {"500"}
    answered = send(operator, page, f"{page}/resolve", {"note": "\r\n".join(["x"] * 250)})
    assert message(operator, answered).startswith("Resolved")


def test_a_payment_shows_its_checks_and_why_the_bank_was_not_asked(
    operator: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    told(parts, bank, transactionId="FT 1/2?&ü")
    (page,) = links(operator.get("/staff/payments?status=unknown&source=bcb").text)
    assert page == f"/staff/payments/bcb/{quote('FT 1/2?&ü', safe='&')}".replace("&", "&amp;")
    page = page.replace("&amp;", "&")
    assert "FT 1/2?&amp;ü" in operator.get(page).text
    said = message(operator, send(operator, page, f"{page}/check"))
    assert said.startswith("The bank was not asked: source bcb has no API credentials")
    assert operator.get("/staff/payments/bcb/none").status_code == 404
    # What nobody named has no page to say so on: the list does.
    unknown = send(operator, "/staff/payments", "/staff/payments/check", {"source": "bcb", "payment_id": "FT0"})
    assert message(operator, unknown).startswith("The bank was not asked: source bcb has no API credentials")


def test_what_the_bank_says_is_refreshed_with_the_checks_beside_it(
    app: Flask, parts: Runtime, clock: StandingClock, bank: BankSigner
) -> None:
    with Simulator(Config(rate_limit=0), clock=clock) as simulator:
        add_source(parts, base_url=simulator.url)
        book(simulator, clock, ("Pending", 60), ("Completed", 0))
        event_id = told(parts, bank, transactionId="FT1")
        operator = signed_in(app, parts, Role.OPERATOR)
        pages = ("/staff/payments/bcb/FT1", f"/staff/events/{event_id}")
        act = f"{pages[0]}/check"
        for said in ("pending", "completed"):
            send(operator, pages[0], act)
            for path in pages:
                whole, part = operator.get(path).text, operator.get(path, headers={"HX-Request": "true"}).text
                assert "<html" not in part
                for text in (whole, part):
                    panel = re.search(r'<section[^>]* id="bank-says".*?</section>', text, re.DOTALL)
                    assert panel is not None
                    assert f'<span class="figure">{said}</span>' in panel[0]
                    assert said.capitalize() in text.replace(panel[0], "")
                places = re.search(r'hx-trigger="every 10s" hx-select-oob="([^"]*)"', whole)
                assert places is not None
                for place in places[1].split(","):
                    assert part.count(f'id="{place[1:]}"') == whole.count(f'id="{place[1:]}"') == 1
            clock.forward(60)


def test_a_source_is_switched_and_set_by_an_admin(app: Flask, operator: FlaskClient, parts: Runtime) -> None:
    admin = signed_in(app, parts, Role.ADMIN)
    page = "/staff/sources/bcb"
    assert "Set an option" not in operator.get(page).text
    assert operator.post(f"{page}/disable").status_code == 403
    assert message(admin, send(admin, page, f"{page}/disable")) == "bcb is disabled: its callbacks get 404."
    assert "disabled" in admin.get("/staff/sources").text
    send(admin, page, f"{page}/enable")
    wrong = send(admin, page, f"{page}/option", {"key": "encoding", "value": "utf9"})
    assert "utf9" in message(admin, wrong)
    send(admin, page, f"{page}/option", {"key": "encoding", "value": "utf8"})
    assert "utf8" in admin.get(page).text
    assert admin.get("/staff/sources/none").status_code == 404


def test_a_consumer_is_moved_by_an_operator(operator: FlaskClient, parts: Runtime, bank: BankSigner) -> None:
    told(parts, bank)
    with parts.database.write() as connection:
        consumers.create(connection, "ledger", parts.clock())
    page = "/staff/consumers/ledger"
    assert "1</span> entry behind" in operator.get(page).text
    assert send(operator, page, f"{page}/seek", {"to": "yesterday"}).status_code == 400
    for to in ("end", "2999-01-01t00:00:00z"):
        assert "position 1" in message(operator, send(operator, page, f"{page}/seek", {"to": to}))
    assert operator.get("/staff/consumers/none").status_code == 404


def test_what_is_counted_to_a_bound_is_not_shown_as_if_that_were_all(
    viewer: FlaskClient, parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = (ExceptionKind.CONTRADICTED, ExceptionKind.CONTRADICTED, ExceptionKind.CONTRADICTED, ExceptionKind.STALLED)
    with parts.database.write() as connection:
        opened = [Opened(kind, source.id, "payment", f"FT{number}") for number, kind in enumerate(kinds)]
        open_all(connection, opened, parts.clock())
    for most, overview, grouped in ((3, ">4</a>", ">3 open<"), (2, ">3 and more</a>", ">2 and more open<")):
        monkeypatch.setattr(stored_exceptions, "COUNTED_MAX", most)
        assert overview in viewer.get("/staff/overview").text
        assert grouped in viewer.get("/staff/exceptions").text


def test_the_overview_counts_callbacks_and_says_that_no_worker_is_there(
    viewer: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    told(parts, bank)
    post(parts, BankSigner(bank.clock, secret=OTHER).sign(deposit()))
    signed = bank.sign(deposit(transactionId="FT9"))
    for again in (signed, signed, bank.sign(deposit(transactionId="FT9"))):
        assert post(parts, again).status_code == 200
    page = viewer.get("/staff/overview").text
    assert "No callback was counted yet." in page
    assert "accepted 2, rejected 1, late 0, duplicate in a new delivery 1" in page
    assert "<h2>Callbacks stored in the last hour</h2>" in page
    assert "A repeat with the same nonce and body is answered and not stored" in page
    assert "not at work" in page
    assert '<a class="figure" href="/staff/exceptions">1</a>' in page


def test_the_overview_says_how_fast_callbacks_are_answered(viewer: FlaskClient, parts: Runtime) -> None:
    counters = Counted()
    for seconds in [0.004] * 94 + [0.2] * 5 + [60]:
        counters.delivered("bcb", "accepted", "", seconds)
    counted = signed_in(create_app(replace(parts, counters=counters)), parts, Role.VIEWER, name="clock")
    page = counted.get("/staff/overview").text
    assert '<span class="figure">within 250 ms</span> 95 in 100 callbacks, half within 5 ms' in page
    for _ in range(200):
        counters.delivered("bcb", "accepted", "", 60)
    assert "in more than 10 s" in counted.get("/staff/overview").text
    assert "within 5 ms" not in viewer.get("/staff/overview").text


def test_what_a_bank_or_an_app_may_set_runs_nowhere(
    operator: FlaskClient, parts: Runtime, bank: BankSigner, source: SourceRecord
) -> None:
    told(parts, bank, transactionId=SCRIPT, transactionDetails=SCRIPT, accountNumber=SCRIPT, transactionType=SCRIPT)
    told(parts, bank, transactionId=SCRIPT, transactionDetails=f"{SCRIPT} otherwise", accountNumber=SCRIPT)
    signed = BankSigner(bank.clock, secret=OTHER).sign(deposit(transactionDetails=SCRIPT))
    signed.headers["X-Odd"] = SCRIPT
    post(parts, signed)
    tell_late(parts, deposit(transactionId=SCRIPT))
    record(parts, delivery(parts, source), event(parts, SCRIPT, type=f"bcb.{SCRIPT}", facts={SCRIPT: [{"a": SCRIPT}]}))
    (late, *_) = exceptions.listing(parts, Wanted(UNRESOLVED, ["late"]), limit=9)
    exceptions.acknowledge(parts, SCRIPT, late.id, SCRIPT)
    places = ["events", "payments", "deliveries", "exceptions", "exceptions?kind=conflict", f"events?q={quote(SCRIPT)}"]
    seen, escaped = set(), 0
    for place in places:
        page = operator.get(f"/staff/{place}").text
        for link in ["", *links(page)]:
            seen.add(link)
            shown = operator.get(link.replace("&amp;", "&")).text if link else page
            assert "<script>alert" not in shown, link or place
            escaped += "&lt;script&gt;" in shown
    assert len(seen) > 6
    assert escaped > 6


def test_every_list_goes_on_where_its_page_ended(operator: FlaskClient, parts: Runtime, source: SourceRecord) -> None:
    for number in range(52):
        record(parts, delivery(parts, source), event(parts, f"FT{number:02}", says="1"))
        record(parts, delivery(parts, source), event(parts, f"FT{number:02}", says="2"))
    for place in ("events", "events?q=FT", "payments", "exceptions?kind=conflict"):
        page = operator.get(f"/staff/{place}").text
        following = re.search(r'<a href="([^"]*)" rel="next">', page)
        assert following is not None, place
        rest = operator.get(following[1].replace("&amp;", "&")).text
        assert (len(links(page)), len(links(rest))) == (50, 2), place
        assert not set(links(page)) & set(links(rest))


def test_the_lists_and_the_pages_agree_on_when_the_bank_is_asked_next(
    viewer: FlaskClient, parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    told_of = (event(parts, "FT1"), event(parts, "job-1", kind="job", payment_id=None, type="bcb.job.completed"))
    record(parts, delivery(parts, source), *told_of)
    why = "a callback names it, and the bank was not asked since; source bcb has no API credentials to ask with"
    for path in ("payments/bcb/FT1", "jobs/bcb/job-1", *(f"events/{each.id}" for each in told_of)):
        page = viewer.get(f"/staff/{path}").text
        assert f'<span class="none">not for now</span>: {why}' in page, path
    for path in ("payments", "jobs"):
        page = viewer.get(f"/staff/{path}").text
        assert '<span class="none">not for now</span>' in page, path
        assert "not any more" not in page
    with parts.database.write() as connection:
        row = payments.find(connection, "bcb", "payment", "FT1")
        assert row is not None
        due = leases.claim_one(connection, row.id, Lease(clock(), clock() + timedelta(minutes=1), "a"))
        assert due is not None
        values = {"status": "completed", "bank_status": "Completed", "agreement": "confirmed", "updated_at": clock()}
        leases.settle(connection, due, now=clock(), next_at=None, values=values)
    for path in ("payments/bcb/FT1", f"events/{told_of[0].id}"):
        assert '<span class="none">not any more</span>: its state is final' in viewer.get(f"/staff/{path}").text, path


def test_a_job_shows_each_item_and_another_bank_its_own_particulars(
    viewer: FlaskClient, parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    add_encrypting_source(parts)
    add_source(parts, "second", secret=None)
    record(parts, delivery(parts, source), event(parts, "job-1", kind="job", payment_id=None, type="bcb.job.completed"))
    clock.forward(timedelta(minutes=1).total_seconds())
    (page,) = links(viewer.get("/staff/jobs").text)
    assert page == "/staff/jobs/bcb/job-1"
    assert "What became of each item" in viewer.get(page).text
    for name in ("bc", "second"):
        assert viewer.get(f"/staff/sources/{name}").status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "events?amount_min=1e999999999",
        "events?amount_max=9e99999999999",
        "events?amount_min=-1",
        f"events?q=a&below={'9' * 40}",
        "events/%00",
        "people/%00",
        "deliveries?contains=%00",
        "audit?who=%00x",
        "replays?cursor=%00",
    ],
)
def test_a_hostile_address_is_the_asker_s_fault(app: Flask, parts: Runtime, source: SourceRecord, address: str) -> None:
    assert source.name == "bcb"
    assert signed_in(app, parts, Role.ADMIN).get(f"/staff/{address}").status_code == 400


def test_who_may_not_read_payloads_does_not_search_in_them(
    viewer: FlaskClient, operator: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    signed = bank.sign(deposit(transactionId="FT-REFUSED"))
    signed.headers["Bcb-Signature"] = OTHER
    post(parts, signed)
    for contains, seen_by_viewer in (("FT-REFUSED", 0), ("/webhooks/bcb", 1)):
        page = f"/staff/deliveries?contains={quote(contains)}"
        assert len(links(viewer.get(page).text)) == seen_by_viewer
        assert len(links(operator.get(page).text)) == 1
    # It takes long, so nothing asks for it by itself.
    assert 'hx-trigger="every' not in operator.get(page).text


def test_a_refused_delivery_is_found_by_its_id_its_sender_and_its_digest(
    viewer: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    signed = bank.sign(deposit())
    signed.headers["Bcb-Signature"] = OTHER
    post(parts, signed)
    (page,) = links(viewer.get("/staff/deliveries").text)
    digest = hashlib.sha256(signed.body).hexdigest()
    for contains, number in ((page.rpartition("/")[2], 1), (digest.upper(), 1), ("127.0.0.1", 1), ("dlv_none", 0)):
        assert len(links(viewer.get("/staff/deliveries", query_string={"contains": contains}).text)) == number, contains


def test_a_page_that_refreshes_by_itself_holds_no_session(viewer: FlaskClient, clock: StandingClock) -> None:
    for _ in range(4):
        clock.forward(600)
        last = viewer.get("/staff/overview", headers={"HX-Request": "true"}).status_code
    assert last == 401


def test_a_bank_that_is_down_and_what_concerns_a_whole_source_is_shown(
    viewer: FlaskClient, parts: Runtime, clock: StandingClock, source: SourceRecord
) -> None:
    record(parts, delivery(parts, source), event(parts, "FT1"))
    pauses = (timedelta(minutes=5), timedelta(minutes=5))
    with parts.database.write() as connection:
        sources.set_credentials(connection, parts.encryption, source, {"client_id": "c", "client_secret": "s"})
        circuits.fail(connection, source.id, now=clock(), most=1, pauses=pauses, error=SCRIPT)
        words = f"no callback: {SCRIPT}"
        opened = [Opened(ExceptionKind.SILENCE, source.id, "source", source.name, detail=words)]
        open_all(connection, opened, clock())
    assert "down since" in viewer.get("/staff/overview").text
    assert "Tried next" in viewer.get("/staff/sources/bcb").text
    asked_next = viewer.get("/staff/payments/bcb/FT1").text
    assert "a callback names it, and the bank was not asked since; the bank of bcb is down since" in asked_next
    (page,) = links(viewer.get("/staff/exceptions?kind=silence").text)
    shown = viewer.get(page).text
    assert "presses medium" in shown
    assert '<a class="button" href="/staff/sources/bcb">' in shown
    assert not any(SCRIPT in text for text in (asked_next, shown))
    with parts.database.write() as connection:
        payments.stall(connection, source.id, clock(), clock(), limit=9)
    assert links(viewer.get("/staff/payments?stalled=true").text) == ["/staff/payments/bcb/FT1"]


def test_an_operator_holds_an_event_and_releases_it_on_its_page(
    operator: FlaskClient, viewer: FlaskClient, parts: Runtime, bank: BankSigner
) -> None:
    address = f"/staff/events/{told(parts, bank)}"
    assert "/hold" not in viewer.get(address).text
    assert viewer.post(f"{address}/hold").status_code == 403
    assert send(operator, address, f"{address}/hold", {"reason": " "}).status_code == 400
    held = send(operator, address, f"{address}/hold", {"reason": SCRIPT})
    assert message(operator, held) == "On hold: nothing of it is removed."
    page = operator.get(address).text
    assert "On hold since" in page
    assert "<script>alert" not in page
    send(operator, address, f"{address}/release")
    assert "On hold since" not in operator.get(address).text
