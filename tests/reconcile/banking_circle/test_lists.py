"""Lists over several pages, in every shape that the bank gives them."""

from typing import Any

import pytest
from banking_circle import accounts_of, asked, control

from receiver.bank_client.session import BankSession
from receiver.simulator.banking_circle import Simulator

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here differs between the databases."""
    return sqlite_url


def test_every_page_of_accounts_is_read(simulator: Simulator, session: BankSession) -> None:
    control(simulator, "/accounts", {"count": 450}, "PUT")
    accounts = accounts_of(session)
    assert len({account.id for account in accounts}) == 450
    assert asked(simulator, "/accounts") == 3


@pytest.mark.parametrize("options", [{"row_count": False}, {"spelling": "upper"}, {"spelling": "alternate"}])
def test_pages_may_spell_their_names_otherwise_and_leave_out_their_number(
    simulator: Simulator, session: BankSession, options: dict[str, Any]
) -> None:
    control(simulator, "/options", options, "PATCH")
    control(simulator, "/accounts", {"count": 400}, "PUT")
    accounts = accounts_of(session)
    assert len({account.id for account in accounts}) == 400


def test_payments_are_listed_over_all_pages_with_the_banks_filters(simulator: Simulator, session: BankSession) -> None:
    from receiver.banks.banking_circle import api

    for number in range(205):
        control(simulator, f"/payments/p{number}", {"classification": "Own" if number < 3 else "Outgoing"}, "PUT")
    filters = {"Classification": "Outgoing"}
    listed = session.ask(lambda client: list(api.paged(client, api.PAYMENTS, filters)))
    assert {entry["paymentId"] for entry in listed} == {f"p{number}" for number in range(3, 205)}
