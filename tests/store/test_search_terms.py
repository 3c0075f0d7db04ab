"""What an event is found by, and what a person's question means."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.store import search_questions, search_terms
from receiver.store.search_questions import question
from receiver.store.search_terms import ACCOUNT, CHARACTERS_MAX, REFERENCE, TERMS_MAX

FACTS: dict[str, Any] = {
    "account_number": "DE89 3704 0044 0532 0130 00",
    "direction": "Credit",
    "subscription_id": "e2a55504",
    "transaction_reference": "010F 10322",
    "remittance": "Rechnung 2026-0815, Kundin: MÜLLER /ROC/AB-1",
    "parties": {"debtor": {"name": "José Straße", "account": {"iban": "GB33BUKB20201555555555"}}},
    "case": {"id": "CASE-7"},
    "mandate": "#4711",
}


def terms(amount: Any = "1000.50", currency: Any = "USD", **facts: Any) -> list[bytes]:
    """The terms of an event about the payment FT2384654NXF6."""
    found = search_terms.terms_of(
        facts, subject="FT2384654NXF6", payment_id="FT2384654NXF6", amount=amount, currency=currency, conflict=False
    )
    return sorted(found)


def finds(typed: str, found: list[bytes]) -> bool:
    condition = question(typed)
    assert condition is not None
    return condition.holds(found)


@pytest.mark.parametrize(
    "typed",
    [
        *("FT2384654NXF6", "ft23", "f", "  FT2384654NXF6 "),
        *("DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "de89 3704", "GB33 BUKB"),
        *("010F10322", "010F 10322", "CASE-7", "case"),
        *("1000.50", "1000", "1,000.50", "1.000,50", "1 000,50", "1'000.50", "1000.5", "-1000.50", "€1000.50"),
        *("1000.50 USD", "USD 1000.50", "USD 1 000,50", "1,000.50USD", "usd"),
        *("1000.50 €", "€ 1000.50", "1 000,50 €", "\u2212 1000.50", "$ 1,000.50", "£ 1000", "¥1000", "1000\u00a0€"),
        *("\u22121000.50", "\u20131000.50", "- 1000.50", "+ 1000.50", "-$ 1,000.50", "USD \u2212 1000.50"),
        *("$ 1,000.50 USD", "USD \u22121000.50", "1000 € müller", "rechnung \u2013 müller", "€ FT23"),
        *("Rechnung", "rech", "2026-0815", "2026-08", "müller", "MULLER", "Kundin", "jose", "strasse", "Straße"),
        *("1,000.50.", "(1,000.50)", "1,000.50, rechnung", "(1.000,50 USD)", "USD 1,000.50;"),
        *("IBAN DE89 3704 0044 0532 0130 00", "iban: DE89 3704 0044", "IBAN:DE89370400440532013000"),
        *("DE89 3704 0044 0532 0130 00 1000.50", "müller (DE89 3704 0044 0532 0130 00), 1.000,50", "FT23 case"),
        *("#4711", "#4711.", "FT2384654NXF6.", "(FT23)"),
        *("ab-1", "/ROC/AB-1", "roc", "rechnung müll", "müller 2026-0815", "FT23 müller 1000.50"),
    ],
)
def test_it_is_found_by(typed: str) -> None:
    assert finds(typed, terms(**FACTS))


@pytest.mark.parametrize(
    "typed",
    [
        *("T2384654NXF6", "FT2384654NXF67", "e2a55504", "credit"),
        *("0815", "DE89 3704 0045", "3704"),
        *("1000.51", "100", "10000", "1000.50 EUR", "1,001", "1000.501"),
        *("1000.51 €", "€ 100", "1 000,51 €", "\u2212 10000", "$ 1000.50 EUR", "€ meier", "€", "\u2212"),
        *("DE89 3704 0044 0532 0130 00 1000.51", "DE89 3704 0044 0532 0130 01 1000.50", "iban", "IBAN rechnung"),
        *("rechnung meier", "ller", "2026-08155"),
    ],
)
def test_it_is_not_found_by(typed: str) -> None:
    assert not finds(typed, terms(**FACTS))


@pytest.mark.parametrize("typed", ["", "  ", "\t\u200b", "\u0301"])
def test_an_empty_question_asks_nothing(typed: str) -> None:
    assert question(typed) is None


@pytest.mark.parametrize(("typed", "amounts"), [("1,000", ("1000", "1.00")), ("1.234", ("1234.00", "1.234"))])
def test_what_may_mean_two_amounts_means_both(typed: str, amounts: tuple[str, str]) -> None:
    assert all(finds(typed, terms(amount)) for amount in amounts)


@pytest.mark.parametrize("typed", ["0,125", "0.125", "-0,125", "€0,125"])
def test_no_group_of_thousands_begins_with_a_nought(typed: str) -> None:
    assert search_questions.amounts(typed) == ["0.125"]
    assert finds(typed, terms("0.125"))
    assert not finds(typed, terms("125.00"))


@given(st.text(max_size=300))
def test_whatever_is_typed_means_something_or_nothing(typed: str) -> None:
    condition = question(typed)
    assert condition is None or condition.leads()


@given(st.text(max_size=300), st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=5))
def test_whatever_a_bank_writes_makes_terms_that_hold_no_separator(text: str, facts: dict[str, str]) -> None:
    found = terms(text, text, remittance=text, account=text, **{f"x_{name}": value for name, value in facts.items()})
    assert len(found) <= TERMS_MAX
    assert not [term for term in found if b"\n" in term or len(term) > 4 * CHARACTERS_MAX + 2]


@given(st.decimals(-(10**20), 10**20, allow_nan=False, places=4), st.decimals(0, 10**20, allow_nan=False, places=4))
def test_amounts_are_compared_by_their_size_without_their_sign(amount: Decimal, other: Decimal) -> None:
    found = terms(f"{amount:f}")
    assert search_questions.between(other, None).holds(found) == (abs(amount) >= other)
    assert search_questions.between(None, other).holds(found) == (abs(amount) <= other)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e999999999", "x", "", "0", "-0.00"])
def test_an_odd_amount_does_no_harm(amount: str) -> None:
    assert terms(amount)


def test_a_whole_account_or_reference_is_no_other_kind_and_no_beginning() -> None:
    found = terms(**FACTS)
    assert search_questions.whole("de89370400440532013000", ACCOUNT).holds(found)
    assert not search_questions.whole("DE893704004405320130", ACCOUNT).holds(found)
    assert not search_questions.whole("DE89370400440532013000", REFERENCE).holds(found)
    assert search_questions.whole("", ACCOUNT).is_empty


def test_ids_accounts_and_amounts_come_before_the_words_of_a_long_text() -> None:
    found = terms(remittance=" ".join(f"w{number}" for number in range(500)), account="A1", zz_reference="R1")
    assert len(found) == TERMS_MAX
    assert all(finds(typed, found) for typed in ("A1", "R1", "FT2384654NXF6", "1000.50", "w0"))


def test_accounts_are_masked_wherever_they_stand() -> None:
    masked = search_terms.masked_facts({**FACTS, "account": {"number": "12345678", "id": "77"}, "ibans": ["x"]})
    assert masked == {
        **FACTS,
        "account_number": "…0 00",
        "parties": {"debtor": {"name": "José Straße", "account": {"iban": "…5555"}}},
        "account": {"number": "…5678", "id": "…"},
        "ibans": ["x"],
    }
    assert "GB33BUKB20201555555555" in search_terms.accounts_in(FACTS)
