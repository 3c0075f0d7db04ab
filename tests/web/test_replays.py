"""`/api/v1/replays`: plan, run, watch, cancel."""

from datetime import datetime
from typing import Any

import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, add_source, make_token
from flask.testing import FlaskClient
from web.reading import Headers, assert_problem, get, got, send_deposits
from werkzeug.test import TestResponse

from receiver.admin import replays as acts
from receiver.replay import run as runs
from receiver.runtime import Runtime
from receiver.store import audit, signing_secrets
from receiver.worker.loop import Worker

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: what a plan comes to on each is tested in `tests/replay` and `tests/store`."""
    return sqlite_url


REPLAYS = "/api/v1/replays"
REASON = "the ledger lost a day"


def post(client: FlaskClient, token: Headers, path: str = REPLAYS, **fields: Any) -> TestResponse:
    return client.post(path, headers=token, json=fields)


def plan(client: FlaskClient, token: Headers, **fields: Any) -> dict[str, Any]:
    answer = post(client, token, **{"dry_run": True, "reason": REASON, **fields})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.get_json()
    return shown


def start(client: FlaskClient, token: Headers, **fields: Any) -> dict[str, Any]:
    answer = post(client, token, plan=plan(client, token, **fields)["plan"])
    assert answer.status_code == 202, answer.text
    shown: dict[str, Any] = answer.get_json()
    return shown


def test_a_plan_says_what_it_would_come_to(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock
) -> None:
    send_deposits(client, bank, 2)
    clock.forward(60)
    shown = plan(client, token, filter={"source": "bcb", "type": "bcb.deposit"})
    token_of_plan = shown.pop("plan")
    assert isinstance(token_of_plan, str)
    assert shown == {
        "matched": 2,
        "from": "2026-03-04T12:00:00.000000Z",
        "to": "2026-03-04T12:00:00.000000Z",
        "sample": [
            {"source": "bcb", "type": "bcb.deposit", "subject": subject, "time": "2026-03-04T12:00:00.000000Z"}
            for subject in ("FT0", "FT1")
        ],
        "expires_at": "2026-03-04T12:16:00.000000Z",
        "notes": [],
    }


def test_a_plan_of_nothing_has_no_times(client: FlaskClient, token: Headers) -> None:
    shown = plan(client, token)
    assert (shown["matched"], shown["from"], shown["to"], shown["sample"]) == (0, None, None, [])


def test_a_plan_counts_what_was_committed_just_now(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    """Nobody has looked at the feed, so nothing has a position before the plan is made."""
    send_deposits(client, bank, 3)
    assert plan(client, token)["matched"] == 3


def test_running_a_plan_is_accepted_with_an_id_and_can_be_watched(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    events = send_deposits(client, bank, 3)
    shown = start(client, token, filter={"payment_id": "FT1"})
    assert {name: shown[name] for name in ("state", "target", "matched", "done", "failed", "reason")} == {
        "state": "running",
        "target": "feed",
        "matched": 1,
        "done": 0,
        "failed": 0,
        "reason": REASON,
    }
    assert (shown["filter"], shown["requested_by"], shown["finished_at"]) == (
        {"payment_id": ["FT1"]},
        "token:app",
        None,
    )
    assert got(client, f"{REPLAYS}/{shown['id']}", token) == shown
    Worker(parts).run_once()
    ended = got(client, f"{REPLAYS}/{shown['id']}", token)
    assert (ended["state"], ended["done"], ended["finished_at"]) == ("done", 1, ended["created_at"])
    *_, entry = got(client, "/api/v1/feed", token)["data"]
    assert (entry["replayid"], entry["eventid"], entry["position"]) == (shown["id"], events[1], 4)


def test_the_same_plan_again_names_the_same_run(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send_deposits(client, bank, 1)
    made = plan(client, token)["plan"]
    answers = [post(client, token, plan=made) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].get_json()["id"] == answers[1].get_json()["id"]


def test_a_changed_or_expired_plan_is_refused(
    client: FlaskClient, bank: BankSigner, token: Headers, clock: StandingClock
) -> None:
    send_deposits(client, bank, 1)
    made = plan(client, token)["plan"]
    for place in (0, 10, len(made) // 2, len(made) - 1):
        for letter in "ABCDEFGH_!":
            if made[place] != letter:
                changed = made[:place] + letter + made[place + 1 :]
                assert_problem(post(client, token, plan=changed), 400, "changed")
    cursor = got(client, "/api/v1/feed", token)["next"]
    assert_problem(post(client, token, plan=cursor), 400, "changed")
    clock.forward(901)
    assert_problem(post(client, token, plan=made), 400, "expired")


def test_the_longest_plan_can_be_run(client: FlaskClient, token: Headers) -> None:
    shown = start(
        client,
        token,
        reason="".join(chr(0x1F300 + number % 500) for number in range(500)),
        filter={"source": "bcb", "payment_id": ["".join(chr(0x4E00 + 37 * n % 20000) for n in range(256))] * 40},
    )
    assert shown["matched"] == 0


def test_a_plan_that_would_be_too_long_to_be_run_is_refused(client: FlaskClient, token: Headers) -> None:
    ids = ["".join(chr(0x4E00 + (n * n * 7919 + k * 104729) % 20000) for n in range(256)) for k in range(100)]
    too_much = {"payment_id": ids, "event_id": ids[::-1]}
    assert_problem(post(client, token, dry_run=True, reason=REASON, filter=too_much), 400, "too long")


def test_several_values_of_a_filter_plan_what_fits_any(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    events = send_deposits(client, bank, 4)
    assert plan(client, token, filter={"event_id": events[:3]})["matched"] == 3
    assert plan(client, token, filter={"payment_id": ["FT0", "FT3"]})["matched"] == 2
    assert plan(client, token, filter={"payment_id": ["FT0", "FT3"], "event_id": events[:3]})["matched"] == 1
    assert plan(client, token, filter={"type": ["bcb.deposit", "bcb.debit"], "source": ["bcb"]})["matched"] == 4


@pytest.mark.parametrize("fields", [{}, {"filter": {}}])
def test_without_a_filter_everything_is_planned(
    client: FlaskClient, bank: BankSigner, token: Headers, fields: dict[str, Any]
) -> None:
    send_deposits(client, bank, 3)
    assert plan(client, token, **fields)["matched"] == 3


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"consumer": "lodger"}, "no consumer 'lodger'; the nearest is 'ledger'"),
        ({"filter": {"source": "bbc"}}, "no source 'bbc'; the nearest is 'bcb'"),
        ({"filter": {"source": ["bcb", "bbc"]}}, "no source 'bbc'; the nearest is 'bcb'"),
        ({"filter": {"type": "bcb.deposits"}}, "no type 'bcb.deposits'; the nearest is 'bcb.deposit'"),
        ({"filter": {"types": ["bcb.deposit"]}}, "`types` is not known here; the nearest is `type`"),
        ({"reasons": "x"}, "`reasons` is not known here; the nearest is `reason`"),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_the_nearest(
    client: FlaskClient, token: Headers, fields: dict[str, Any], says: str
) -> None:
    got(client, "/api/v1/consumers/ledger/feed", token)
    assert_problem(post(client, token, **{"dry_run": True, "reason": REASON, **fields}), 400, says)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "dry_run"),
        ({"dry_run": False, "reason": REASON}, "dry_run"),
        ({"dry_run": 1, "reason": REASON}, "dry_run"),
        ({"dry_run": True}, "reason"),
        ({"dry_run": True, "reason": "  "}, "reason"),
        ({"dry_run": True, "reason": 5}, "reason"),
        ({"dry_run": True, "reason": "x" * 501}, "reason"),
        ({"dry_run": True, "reason": "\ud800"}, "reason"),
        ({"plan": 5}, "plan"),
        ({"plan": ""}, "plan"),
        ({"plan": "nonsense"}, "plan"),
    ],
)
def test_what_is_neither_plan_nor_run_is_refused(
    client: FlaskClient, token: Headers, fields: dict[str, Any], says: str
) -> None:
    assert_problem(post(client, token, **fields), 400, says)


NO_FILTERS: tuple[object, ...] = (None, [], "x", 1, {"status": "x"}, {"limit": 1})
NO_SOURCES: tuple[object, ...] = (None, 1, [1], [None], ["\0"], "", {}, ["bcb"] * 101)
NO_NAMES: tuple[object, ...] = (None, 1, "", [], "\0", "\ud800", "x" * 257)
NO_RATES: tuple[object, ...] = (0, -1, 0.001, 10001, True, "5", [], 10**400)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        *[({"filter": value}, "`") for value in NO_FILTERS],
        *[({"filter": {"source": value}}, "`source`") for value in NO_SOURCES],
        *[
            ({"filter": {name: value}}, f"`{name}`")
            for name in ("type", "payment_id", "event_id", "delivery_id")
            for value in NO_NAMES
        ],
        *[
            ({"filter": {name: value}}, f"`{name}`")
            for name in ("received_after", "received_before")
            for value in ("x", 1, "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00Z")
        ],
        *[({"target": value}, "target") for value in ("", None, "nowhere", 1)],
        *[({"consumer": value}, "") for value in ("", None, "a b", 1)],
        *[({"per_second": value}, "`per_second`") for value in NO_RATES],
        ({"target": "bank", "consumer": "ledger"}, "consumer"),
        ({"target": "verification", "filter": {"type": "bcb.deposit"}}, "Rejected deliveries"),
        ({"filter": {"delivery_id": "dlv_1"}}, "delivery_id"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_cannot_be_planned_is_named(
    client: FlaskClient, token: Headers, fields: dict[str, Any], says: str
) -> None:
    assert_problem(post(client, token, **{"dry_run": True, "reason": REASON, **fields}), 400, says)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"dry_run":true,"reason":"x","per_second":NaN}'])
def test_a_body_that_is_no_object_is_refused(client: FlaskClient, token: Headers, body: bytes) -> None:
    assert_problem(client.post(REPLAYS, headers=token, data=body), 400)


def test_a_rate_is_kept(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, clock: StandingClock
) -> None:
    send_deposits(client, bank, 5)
    shown = start(client, token, per_second=2)
    assert shown["per_second"] == 2
    done = []
    for _ in range(4):
        Worker(parts).run_once()
        done.append(got(client, f"{REPLAYS}/{shown['id']}", token)["done"])
        clock.forward(1)
    assert done == [2, 4, 5, 5]


def test_cancelling_stops_it_once(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PART", 2)
    send_deposits(client, bank, 5)
    path = f"{REPLAYS}/{start(client, token)['id']}"
    runs.Runner(parts).run_due()
    cancelled = post(client, token, f"{path}/cancel")
    assert cancelled.status_code == 200
    assert (cancelled.get_json()["state"], cancelled.get_json()["done"]) == ("cancelled", 2)
    assert_problem(post(client, token, f"{path}/cancel"), 409)
    Worker(parts).run_once()
    assert got(client, path, token) == cancelled.get_json()
    assert len(got(client, "/api/v1/feed", token)["data"]) == 7


def test_it_is_held_up_and_goes_on(client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime) -> None:
    send_deposits(client, bank, 1)
    path = f"{REPLAYS}/{start(client, token)['id']}"
    assert post(client, token, f"{path}/pause").get_json()["state"] == "paused"
    assert_problem(post(client, token, f"{path}/pause"), 409, "is paused, and so can't be paused")
    Worker(parts).run_once()
    assert got(client, path, token)["done"] == 0
    assert post(client, token, f"{path}/resume").get_json()["state"] == "running"
    assert_problem(post(client, token, f"{path}/resume"), 409, "is running")
    Worker(parts).run_once()
    assert (got(client, path, token)["state"], got(client, path, token)["done"]) == ("done", 1)


def test_a_large_one_is_accepted_and_waits_for_a_person(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts.settings, "replay_approval_above", 1)
    send_deposits(client, bank, 2)
    shown = start(client, token)
    assert (shown["state"], shown["approved_by"], shown["approved_at"]) == ("awaiting_approval", None, None)
    path = f"{REPLAYS}/{shown['id']}"
    assert client.post(f"{path}/approve", headers=token).status_code == 404
    acts.approve(parts, "cli:anna", shown["id"])
    Worker(parts).run_once()
    ended = got(client, path, token)
    assert (ended["state"], ended["done"], ended["approved_by"]) == ("done", 2, "cli:anna")


def test_one_that_is_done_is_not_cancelled(client: FlaskClient, token: Headers, parts: Runtime) -> None:
    path = f"{REPLAYS}/{start(client, token)['id']}"
    Worker(parts).run_once()
    assert_problem(post(client, token, f"{path}/cancel"), 409)


@pytest.mark.parametrize("replay_id", ["rpl_none", "%00", "%FF", "x" * 500])
def test_one_that_does_not_exist_is_404(client: FlaskClient, token: Headers, replay_id: str) -> None:
    assert_problem(get(client, f"{REPLAYS}/{replay_id}", token), 404)
    assert_problem(post(client, token, f"{REPLAYS}/{replay_id}/cancel"), 404)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("GET", "/rpl_1"), ("POST", "/rpl_1/cancel")], ids=lambda value: value or "/"
)
def test_replays_have_a_scope_of_their_own(client: FlaskClient, parts: Runtime, method: str, path: str) -> None:
    assert_problem(client.open(REPLAYS + path, method=method), 401)
    reading = make_token(parts, "events:read", "payloads:read", "feed:read", "payments:read")
    assert_problem(client.open(REPLAYS + path, method=method, headers=reading), 403, "replays:write")


@pytest.mark.parametrize("q", ["", "  ", "\u200b", "-"])
def test_a_search_that_asks_nothing_is_not_planned_for_everything(
    client: FlaskClient, bank: BankSigner, token: Headers, q: str
) -> None:
    send_deposits(client, bank, 2)
    assert_problem(post(client, token, dry_run=True, reason=REASON, filter={"q": q, "source": "bcb"}), 400)


def test_a_token_limited_to_sources_reaches_nothing_beyond_them(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    add_source(parts, "other")
    send_deposits(client, bank, 2)
    send_deposits(client, bank, 1, "other")
    limited = make_token(parts, sources=("other",), name="limited")
    # Planning: what it may not see is neither counted nor shown, and can't be asked for.
    own = plan(client, limited)
    assert own["matched"] == 1
    assert plan(client, limited, filter={"q": "FT"})["matched"] == 1
    assert plan(client, token, filter={"q": "FT"})["matched"] == 3
    assert post(client, limited, plan=plan(client, limited, filter={"q": "FT"})["plan"]).status_code == 202
    assert_problem(post(client, limited, plan=plan(client, token, filter={"q": "FT"})["plan"]), 403)
    assert [row["source"] for row in own["sample"]] == ["other"]
    asked: dict[str, Any] = {"dry_run": True, "reason": REASON}
    assert_problem(post(client, limited, **asked, filter={"source": "bcb"}), 403)
    assert_problem(post(client, limited, **asked, filter={"source": ["other", "bcb"]}), 403)
    # Running: neither a plan for all sources nor one for another one.
    for filter_ in ({}, {"source": "bcb"}, {"source": ["other", "bcb"]}):
        assert_problem(post(client, limited, plan=plan(client, token, filter=filter_)["plan"]), 403)
    # Seeing and cancelling.
    for filter_ in ({}, {"source": "bcb"}, {"source": ["other", "bcb"]}):
        path = f"{REPLAYS}/{start(client, token, filter=filter_)['id']}"
        assert_problem(get(client, path, limited), 404)
        assert_problem(post(client, limited, f"{path}/cancel"), 404)
        assert got(client, path, token)["state"] == "running"
    mine = post(client, limited, plan=own["plan"])
    assert mine.status_code == 202
    assert post(client, limited, f"{REPLAYS}/{mine.get_json()['id']}/cancel").status_code == 200


def test_a_rejected_delivery_is_verified_again(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    other = add_source(parts, "other", secret=None)
    signed = bank.sign(deposit(transactionId="FT1"), "/webhooks/other")
    assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 503
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, other.id, bank.secret, now=parts.clock(), grace_seconds=0)
    shown = plan(client, token, target="verification", filter={"source": "other"})
    (sample,) = shown["sample"]
    assert (shown["matched"], sample["source"], sample["type"]) == (1, "other", "delivery.rejected")
    delivery_id = sample["subject"]
    started = start(client, token, target="verification", filter={"delivery_id": delivery_id})
    Worker(parts).run_once()
    ended = got(client, f"{REPLAYS}/{started['id']}", token)
    assert (ended["done"], ended["failed"]) == (1, 0)
    assert [entry["subject"] for entry in got(client, "/api/v1/feed", token)["data"]] == ["FT1"]
    assert got(client, "/api/v1/payments/other/FT1", token)["agreement"] == "unconfirmed"


def test_everything_is_in_the_audit_log(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, clock: StandingClock
) -> None:
    send_deposits(client, bank, 1)
    first = start(client, token)["id"]
    clock.forward(1)
    Worker(parts).run_once()
    second = start(client, token, reason="once more")["id"]
    post(client, token, f"{REPLAYS}/{second}/cancel")
    with parts.database.read() as connection:
        rows = audit.listing(connection, limit=10)
        audit.verify(connection, parts.encryption)
    assert [(row.who, row.what, row.why, row.about["replay"]) for row in reversed(rows)] == [
        ("token:app", "replay.started", REASON, first),
        ("worker", "replay.done", REASON, first),
        ("token:app", "replay.started", "once more", second),
        ("token:app", "replay.cancelled", "once more", second),
    ]
    assert [row.at for row in reversed(rows)][:2] == [datetime.fromisoformat("2026-03-04T12:00:00Z"), clock()]
