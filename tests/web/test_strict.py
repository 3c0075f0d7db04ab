"""Nothing that a request of the API says is passed over in silence: a 400 names it, and the nearest that there is."""

from typing import Literal

import pytest
from bank import BankSigner, deposit
from conftest import add_source, make_token
from flask.testing import FlaskClient
from web.reading import Headers, assert_problem, get, got, send_deposits

from receiver import banks
from receiver.admin.names import Names, nearest
from receiver.model import NameUnknown, OwnType
from receiver.runtime import Runtime

pytestmark = [
    pytest.mark.usefixtures("source"),
    # What is taken is decided before the database is asked for more than names.
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


@pytest.mark.parametrize(
    ("path", "query", "says"),
    [
        ("/events", "sorce=bcb", "`sorce` is not known here; the nearest is `source`"),
        ("/events/evt_x", "limit=1", "`limit` is not known here; nothing is taken"),
        ("/feed", "types=bcb.deposit", "the nearest is `type`"),
        ("/feed", "limit=1&limit=2", "`limit` is given more than once"),
        ("/feed", "after=&after=x", "`after` is given more than once"),
        ("/feed", "source=bcb&source=bbc", "There is no source 'bbc'; the nearest is 'bcb'"),
        ("/feed", "type=payment.contradict", "the nearest is 'payment.contradicted'"),
        ("/feed", "type=deposit", "There is no type 'deposit'"),
        ("/events", "type=bcb.deposits", "the nearest is 'bcb.deposit'"),
        ("/feed", "type=bcb.nope", "the nearest is 'bcb.job.pending'"),
        ("/feed", "type=bcb.job.*", "There is no type 'bcb.job.*'; the nearest is 'bcb.job.pending'"),
        ("/events", "type=bcb.*", "There is no type 'bcb.*'"),
        ("/feed", "type=connectpay.card.*", "There is no type 'connectpay.card.*'"),
        ("/feed", "type=standard_webhooks.invoice.*", "the nearest is 'standard_webhooks.unrecognised'"),
        ("/feed", "type=payment.*", "the nearest is 'payment.returned'"),
        ("/events", "type=payment.contradicted", "There is no type 'payment.contradicted'"),
        ("/payments", "source=" + "x" * 90, "There is no source"),
        ("/consumers/ledger/feed", "source=bcb", "`source` is not known here"),
        ("/replays/rpl_x", "x=1", "`x` is not known here"),
        ("/payments", "limit=x&stauts=pending", "`stauts` is not known here; the nearest is `status`"),
    ],
)
def test_what_a_query_may_not_hold_is_named(
    client: FlaskClient, token: Headers, path: str, query: str, says: str
) -> None:
    assert_problem(client.get(f"/api/v1{path}?{query}", headers=token), 400, says)


@pytest.mark.parametrize("query", ["type=bcb.job.some_new_word", "type=standard_webhooks.invoice.paid"])
def test_a_type_of_an_open_vocabulary_is_taken(client: FlaskClient, token: Headers, query: str) -> None:
    assert client.get(f"/api/v1/feed?{query}", headers=token).status_code == 200


@pytest.mark.parametrize("of", ["entry type", "event type"])
def test_the_nearest_type_is_one_that_is_taken(parts: Runtime, of: Literal["entry type", "event type"]) -> None:
    known = Names(parts.database)
    for given in ("bcb.nope", "bcb.job.*", "bcb.job.", "bcb.jobs", "connectpay.card.*", "job.*", "*", ""):
        with pytest.raises(NameUnknown) as refused:
            known.check(of, given)
        known.check(of, str(refused.value).split("'")[-2])


def test_several_values_where_several_are_taken_are_any_of_them(
    client: FlaskClient, token: Headers, bank: BankSigner, parts: Runtime
) -> None:
    add_source(parts, "other")
    send_deposits(client, bank, 2)
    send_deposits(client, bank, 1, "other")
    for path in ("/api/v1/events", "/api/v1/payments", "/api/v1/feed"):
        assert len(got(client, path, token, source=["bcb", "other"])["data"]) == 3
    assert len(got(client, "/api/v1/payments", token, status=["unknown", "completed"])["data"]) == 3
    assert got(client, "/api/v1/payments", token, agreement=["confirmed", "contradicted"])["data"] == []


PATHS = ["/payments/{}/x", "/jobs/{}/x", "/days/{}/2026-03-02"]


@pytest.mark.parametrize("path", PATHS)
def test_a_source_in_a_path_that_there_is_not_is_not_found_and_the_nearest_is_named(
    client: FlaskClient, token: Headers, parts: Runtime, path: str
) -> None:
    asked = f"/api/v1{path.format('bbc')}"
    assert_problem(client.get(asked, headers=token), 404, "There is no source 'bbc'; the nearest is 'bcb'.")
    # To one who may not see it: no word of which there are.
    add_source(parts, "other")
    limited = make_token(parts, sources=("other",), name="limited")
    told = [client.get(f"/api/v1{path.format(name)}", headers=limited).get_json() for name in ("bbc", "bcb")]
    assert told[0] == told[1]
    assert told[0]["status"] == 404
    assert "bcb" not in told[0]["detail"]


def test_a_check_at_a_source_that_there_is_not_names_the_nearest(client: FlaskClient, parts: Runtime) -> None:
    checks = make_token(parts, "payments:check", name="checks")
    asked = client.post("/api/v1/payments/bbc/x/check", headers=checks)
    assert_problem(asked, 404, "There is no source 'bbc'; the nearest is 'bcb'.")


def test_which_sources_there_are_is_not_for_a_token_that_may_not_see_them(client: FlaskClient, parts: Runtime) -> None:
    add_source(parts, "other")
    limited = make_token(parts, sources=("bcb",), name="limited")
    for name in ("other", "othr"):
        assert_problem(get(client, "/api/v1/events", limited, source=name), 403, f"may not see the source {name}.")


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/consumers/ledger/seek", '{"to":"end","two":1}', "`two` is not known here; the nearest is `to`"),
        ("/consumers/ledger/seek", '{"to":"beginning","to":"end"}', "`to` is given more than once"),
        ("/replays", '{"plan":"x","dry_run":true}', "`dry_run` is not known here"),
        # What is missing is most often there under a name that was typed wrong.
        ("/consumers/ledger/ack", '{"curser":"x"}', "`curser` is not known here; the nearest is `cursor`"),
        ("/exceptions/exc_x/resolve", '{"notes":"x"}', "`notes` is not known here; the nearest is `note`"),
        ("/replays", '{"dry_run":true,"reson":"x"}', "`reson` is not known here; the nearest is `reason`"),
        ("/replays", '{"dryrun":true,"reason":"x"}', "`dryrun` is not known here; the nearest is `dry_run`"),
        ("/replays", '{"filter":{"sorce":"x"}}', "`sorce` is not known here; the nearest is `source`"),
        ("/replays", '{"plam":"x"}', "`plam` is not known here; the nearest is `plan`"),
        ("/replays/rpl_x/cancel", '{"reason":"x"}', "`reason` is not known here; nothing is taken"),
        ("/replays/rpl_x/cancel", "[]", "Send a JSON object"),
        ("/replays/rpl_x/cancel?force=1", "", "`force` is not known here"),
    ],
)
def test_what_a_body_may_not_hold_is_named(
    client: FlaskClient, token: Headers, path: str, body: str, says: str
) -> None:
    assert_problem(client.post(f"/api/v1{path}", headers=token, data=body), 400, says)


@pytest.mark.parametrize("body", ["", "{}"])
def test_a_body_without_fields_may_be_left_out(client: FlaskClient, token: Headers, body: str) -> None:
    assert_problem(client.post("/api/v1/replays/rpl_x/cancel", headers=token, data=body), 404, "no such replay")


def test_callbacks_health_and_docs_pass_their_query_over(client: FlaskClient, bank: BankSigner) -> None:
    for path in ("/", "/healthz", "/readyz", "/openapi.json", "/docs"):
        assert client.get(f"{path}?x=1&x=2").status_code == 200
    signed = bank.sign(deposit())
    assert client.post(f"{signed.path}?x=1&x=2", data=signed.body, headers=signed.headers).status_code == 200


def test_what_is_unknown_is_told_to_nobody_without_a_token(client: FlaskClient) -> None:
    assert_problem(client.get("/api/v1/events?sorce=bcb"), 401, "token")


@pytest.mark.parametrize(
    ("given", "known", "found"),
    [("bbc", ["bcb", "other"], "bcb"), ("BCB", ["bcb"], "bcb"), ("x", ["bcb"], "bcb"), ("x", [], None)],
)
def test_the_nearest_name_is_found_however_far_it_is(given: str, known: list[str], found: str | None) -> None:
    assert nearest(given, known) == found


def test_the_vocabularies_of_banks_are_their_own_and_apart_from_ours() -> None:
    for name, bank in banks.every().items():
        assert all(word.startswith(f"{name}.") for word in bank.event_types or ())
    assert not {word.partition(".")[0] for word in OwnType} & set(banks.names())


def lines(client: FlaskClient, path: str, token: Headers, accept: str = "text/csv") -> tuple[list[str], str | None]:
    """The lines of a list as CSV, and the address of the next page."""
    answer = client.get(path, headers={**token, "Accept": accept})
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    link = answer.headers.get("Link")
    return answer.text.split("\r\n")[:-1], link and link.removeprefix("<").removesuffix('>; rel="next"')


def test_a_list_is_csv_page_by_page(client: FlaskClient, token: Headers, bank: BankSigner) -> None:
    send_deposits(client, bank, 3)
    head, *first = (page := lines(client, "/api/v1/payments?limit=2&source=bcb", token))[0]
    assert page[1] is not None
    assert head.startswith("source,payment_id,status,")
    again, *second = (page := lines(client, page[1], token))[0]
    assert (again, page[1]) == (head, None)
    assert sorted(line.split(",")[1] for line in first + second) == ["FT0", "FT1", "FT2"]


@pytest.mark.parametrize("path", ["/events", "/payments", "/feed"])
def test_every_list_is_csv_where_that_is_asked_for(
    client: FlaskClient, token: Headers, bank: BankSigner, path: str
) -> None:
    send_deposits(client, bank, 2)
    assert len(lines(client, f"/api/v1{path}", token, "text/csv, application/json;q=0.5")[0]) == 3
    for accept in ("*/*", "application/json, text/csv", ""):
        assert client.get(f"/api/v1{path}", headers={**token, "Accept": accept}).content_type == "application/json"


def test_an_empty_list_is_its_first_line_alone(client: FlaskClient, token: Headers) -> None:
    assert len(lines(client, "/api/v1/events", token)[0]) == 1


def test_the_feed_is_read_on_behind_its_csv(client: FlaskClient, token: Headers, bank: BankSigner) -> None:
    send_deposits(client, bank, 3)
    _, following = lines(client, "/api/v1/feed?limit=2", token)
    assert following is not None
    assert len(lines(client, following, token)[0]) == 2
