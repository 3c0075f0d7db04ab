"""Reading what banks write: only what can be stored comes out, and no digit is lost."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.banks import json_values, new_shapes
from receiver.banks.json_values import NotUnderstood

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
"""Any value that JSON can write, half surrogate pairs in its texts included."""

LONGEST = 200


def storable(value: str) -> bool:
    """PostgreSQL takes neither NUL nor what is not Unicode; an index takes nothing long."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value and 0 < len(value) <= LONGEST


# Parsing


@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"\xff")
@example(b"\xef\xbb\xbf")
@example(b"1" * 5000)
@example(b"1e" + b"9" * 400)
@example(b"-")
@example(b'"\\ud800"')
def test_any_bytes_are_json_or_not_understood(body: bytes) -> None:
    with suppress(NotUnderstood):
        json_values.parse(body)


@pytest.mark.parametrize("body", [b"\xff" * 10**5, b"[" * 10**5, b"1" * 10**5, b'{"a":Infinity' + b" " * 10**5])
def test_its_text_about_a_long_body_is_short(body: bytes) -> None:
    with pytest.raises(NotUnderstood) as caught:
        json_values.parse(body)
    assert len(str(caught.value)) <= LONGEST


@given(JSON)
def test_any_json_object_is_read_and_any_other_value_is_not_understood(value: Any) -> None:
    body = json.dumps(value).encode()
    if isinstance(value, dict):
        assert json_values.parse_object(body).keys() == value.keys()
        return
    with pytest.raises(NotUnderstood):
        json_values.parse_object(body)


@pytest.mark.parametrize(
    "body",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b'{"a":NaN}',
        b"{'a':1}",
        b"{}{}",
        b'{"a":1,}',
        b"01",
        b"+1",
        b".5",
        b"\x00",
        b"",
    ],
)
def test_what_is_not_json_by_the_standard_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        json_values.parse(body)


@pytest.mark.parametrize("coding", ["utf-16", "utf-32", "latin-1"])
def test_what_is_not_utf_8_is_not_understood(coding: str) -> None:
    with pytest.raises(NotUnderstood):
        json_values.parse('{"name":"é"}'.encode(coding))


def test_a_byte_order_mark_is_passed_over() -> None:
    assert json_values.parse(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


# Canonical writing


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(JSON, st.sampled_from([None, 1, 4]))
def test_order_and_spacing_do_not_change_what_is_canonical(value: Any, indent: int | None) -> None:
    first = json_values.parse(json.dumps(value).encode())
    second = json_values.parse(json.dumps(reordered(value), indent=indent).encode())
    assert json_values.canonical(first) == json_values.canonical(second)


@pytest.mark.parametrize(
    "body", [b'{"a":2}', b'{"a":"1"}', b'{"b":1}', b'{"a":[1]}', b'{"a":1,"b":null}', b'{"a":1.0}']
)
def test_another_content_is_another_canonical_writing(body: bytes) -> None:
    assert json_values.canonical(json_values.parse(body)) != json_values.canonical(json_values.parse(b'{"a":1}'))


@given(JSON)
def test_what_is_canonical_is_ascii(value: Any) -> None:
    assert json_values.canonical(json_values.parse(json.dumps(value).encode())).isascii()


@given(JSON)
@example({"a": "\x7f", "b": '\t\u00e9\u2028/"\\<\x1f', "\ud800": 2**70, "n": [1.50, -0.0, None, True]})
def test_what_is_canonical_is_what_the_standard_library_writes(value: Any) -> None:
    parsed = json_values.parse(json.dumps(value).encode())
    assert json_values.canonical(parsed) == json.dumps(parsed, sort_keys=True, separators=(",", ":"), default=str)


def test_a_time_is_written_as_before() -> None:
    at = datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert json_values.canonical([at, Decimal("1.50")]) == '["2026-03-04 12:00:00+00:00","1.50"]'


def test_what_is_nested_too_deep_has_no_canonical_writing() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(NotUnderstood):
        json_values.canonical(nested)


# Fields


@given(st.dictionaries(st.sampled_from(["a", "b"]), JSON | st.text(min_size=150, max_size=250)))
@example({"a": "x\0y"})
@example({"a": "\ud800"})
@example({"a": "x" * 201})
@example({"a": 10**30})
@example({"a": 10**200})
@example({"a": -(10**199)})
@example({"a": True})
@example({"a": "\x85"})
def test_a_text_is_storable_or_none(fields: dict[str, Any]) -> None:
    found = json_values.text(fields, "a", "b")
    assert found is None or storable(found)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"a": "1"}, "1"),
        ({"a": 7}, "7"),
        ({"a": -7}, "-7"),
        ({"a": None, "b": "2"}, "2"),
        ({"a": "", "b": "2"}, "2"),
        ({"a": ["1"], "b": {"c": 1}}, None),
        ({"a": False}, None),
        ({"a": Decimal("1.5")}, None),
        ({"a": Decimal("7.0")}, "7"),
        ({"a": Decimal("-7.0")}, "-7"),
        ({"a": Decimal("-0.0")}, "0"),
        ({"a": Decimal("1e18")}, str(10**18)),
        ({"a": Decimal("1000000000000000001.0")}, str(10**18 + 1)),
        ({"a": Decimal("1e199")}, str(10**199)),
        ({"a": Decimal("1e200")}, None),
        ({"a": Decimal("1e999999999")}, None),
        ({"a": Decimal("1e-999999999")}, None),
        ({"a": 10**18}, str(10**18)),
        ({"a": 10**199 + 7}, str(10**199 + 7)),
        ({"a": 10**200}, None),
        ({"a": -(10**199)}, None),
        ({"a": "é\u2028漢"}, "é\u2028漢"),
        ({}, None),
    ],
)
def test_the_first_usable_text_is_taken(fields: dict[str, Any], found: str | None) -> None:
    assert json_values.text(fields, "a", "b") == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"a": "1", "b": "2"}, "1"),
        ({"a": None, "b": 2}, "2"),
        ({"b": "2"}, "2"),
        ({"a": "", "b": "2"}, None),
        ({"a": ["1"], "b": "2"}, None),
        ({}, None),
    ],
)
def test_a_text_that_is_there_and_unusable_is_not_replaced_by_another(
    fields: dict[str, Any], found: str | None
) -> None:
    assert json_values.text_there(fields, "a", "b") == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a":1,"a":2}', {"a": [1, 2]}),
        (b'{"a":"x","b":3,"a":"x"}', {"a": "x", "b": 3}),
        (b'{"a":1,"a":true,"a":"1","a":1}', {"a": [1, True, "1"]}),
        (b'{"a":{"b":1,"b":2},"a":{"b":1,"b":2}}', {"a": {"b": [1, 2]}}),
    ],
)
def test_a_name_that_stands_twice_holds_all_that_it_is_given(body: bytes, found: Any) -> None:
    assert json_values.parse(body) == found


def test_what_a_name_holds_is_found_everywhere_in_lists_and_however_cased() -> None:
    body = {"a": 1, "x": [{"A": [2]}, [{"y": {"a": {"a": 3}}}]], "b": {"a": None}}
    assert sorted(map(repr, json_values.everywhere(body, "a"))) == ["1", "3", "[2]", "{'a': 3}"]


@given(st.dictionaries(st.just("a"), JSON))
@example({"a": 2**53})
@example({"a": True})
@example({"a": Decimal("1e999999999")})
def test_a_whole_number_is_one_that_any_database_takes(fields: dict[str, Any]) -> None:
    found = json_values.whole_number(fields, "a")
    assert found is None or (type(found) is int and abs(found) < 2**53)


@pytest.mark.parametrize("written", [b"7", b"7.0", b"7e0", b"0.7e1", b"7.000000000000000000000"])
def test_a_whole_number_is_the_same_in_every_form_that_json_has_for_it(written: bytes) -> None:
    fields = json_values.parse_object(b'{"a":%b}' % written)
    assert (json_values.text(fields, "a"), json_values.whole_number(fields, "a")) == ("7", 7)


@given(st.dictionaries(st.just("a"), JSON))
def test_an_inner_object_is_always_an_object(fields: dict[str, Any]) -> None:
    assert isinstance(json_values.inner(fields, "a"), dict)


# Amounts

AMOUNTS = st.decimals(-(10**15), 10**15, places=2) | st.decimals(-(10**6), 10**6, places=8)


def read(written: str) -> Decimal | None:
    """The amount in JSON text."""
    return json_values.amount(json_values.parse(b'{"amount":%b}' % written.encode()), "amount")


@given(AMOUNTS, st.sampled_from(["{:f}".format, '"{:f}"'.format]))
def test_an_amount_keeps_every_digit(amount: Decimal, write: Callable[[Decimal], str]) -> None:
    found = read(write(amount))
    assert json_values.decimal_text(found) == f"{amount:f}"


@given(JSON | AMOUNTS | st.text("0123456789.eE+-_ \u0661", max_size=60))
@example(Decimal("NaN"))
@example(Decimal("sNaN"))
@example(Decimal("Infinity"))
@example(Decimal("1e400"))
@example(Decimal("1e-400"))
@example(Decimal("1e-999999"))
@example(Decimal("0e999999"))
@example(Decimal("1." + "0" * 10_000))
@example(Decimal("0." + "1" * 10_000))
@example(10**29)
@example(10**5000)
@example("9" * 40)
@example("1e30")
def test_an_amount_is_a_decimal_whose_text_is_storable_or_none(value: Any) -> None:
    found = json_values.amount({"a": value}, "a")
    assert found is None or (type(found) is Decimal and storable(json_values.decimal_text(found) or ""))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"1000.00"', "1000.00"),
        ("1000.00", "1000.00"),
        ("1000", "1000"),
        ("-500.00", "-500.00"),
        ("0.1", "0.1"),
        ("1e3", "1000"),
        ("123456789012345678.123456789", "123456789012345678.123456789"),
        ('"1,000.00"', "1000.00"),
        ('"-1,234,567.8"', "-1234567.8"),
        ('"1,000,000"', "1000000"),
        ('"1.000.000"', "1000000"),
        ('"1.000,50"', "1000.50"),
        ('"1000,50"', "1000.50"),
        ('"7,2"', "7.2"),
        ('"1.000"', "1.000"),
        ('"1,000"', None),
        ('"1,00,000.00"', None),
        ('"1,000.00.00"', None),
        ('"1.000,000,00"', None),
        ('",50"', None),
        ('"1 000.00"', None),
        ('"1_000.00"', None),
        ('"\u0661\u0660"', None),
        ('"USD 5"', None),
        ('""', None),
        ("true", None),
        ("null", None),
        ('{"amount":1}', None),
    ],
)
def test_amounts_are_read_as_banks_write_them(written: str, text: str | None) -> None:
    assert json_values.decimal_text(read(written)) == text


@given(AMOUNTS, st.integers(0, 5))
def test_equal_amounts_have_one_shortest_text(amount: Decimal, zeros: int) -> None:
    point = "" if "." in f"{amount:f}" else "."
    longer = Decimal(f"{amount:f}{point}{'0' * zeros}") if zeros else amount
    assert json_values.shortest_decimal_text(longer) == json_values.shortest_decimal_text(amount)


@given(AMOUNTS)
def test_the_shortest_text_is_the_same_amount(amount: Decimal) -> None:
    assert Decimal(json_values.shortest_decimal_text(amount)) == amount


def test_no_amount_has_an_empty_shortest_text() -> None:
    assert json_values.shortest_decimal_text(None) == ""


@given(AMOUNTS, st.sampled_from([",.", ".,"]))
def test_an_amount_with_its_thousands_parted_is_read_as_what_it_is_or_not_at_all(amount: Decimal, signs: str) -> None:
    written = f"{amount:,f}".translate(str.maketrans(",.", signs))
    found = json_values.amount({"a": written}, "a")
    assert found == amount or found is None or written.count(".") + written.count(",") == 1


FEE, PAYMENT = {"amount": "0.50", "currency": "EUR"}, {"amount": "100.00", "currency": "EUR"}
DOUBLED = '{"amount":"1.00","amount":"2.00","fee":{"amount":"0.50"}}'


@pytest.mark.parametrize(
    ("body", "money"),
    [
        # What stands least deep counts.
        ({**PAYMENT, "costs": FEE}, "100.00 EUR"),
        ({"a": {"b": FEE}, "payment": PAYMENT}, "100.00 EUR"),
        # One that can't be read is not replaced by another thing's.
        ({"amount": "1,000", "costs": FEE}, None),
        ({"amount": ["1.00"], "costs": FEE}, None),
        ({"amount": {"value": "1.00"}, "costs": FEE}, None),
        (json_values.parse(DOUBLED.encode()), None),
        ({"Amount": "1.00", "AMOUNT": "2.00", "costs": FEE}, None),
        ({"a": {"amount": "1,000"}, "b": FEE}, None),
        # One that is empty is none.
        ({"amount": "", "a": PAYMENT}, "100.00 EUR"),
        ({"amount": {}, "a": PAYMENT}, "100.00 EUR"),
        # Of several at one depth nobody can tell which is meant, unless they say the same.
        ({"costs": FEE, "payment": PAYMENT}, None),
        ({"a": PAYMENT, "b": {"amount": "100.00", "currency": "USD"}}, None),
        ({"a": PAYMENT, "b": {"amount": 100}}, "100.00 EUR"),
        # A fee is none that is meant.
        ({"fee": FEE, "payment": PAYMENT}, "100.00 EUR"),
        ({"Charges": FEE, "a": {"payment": PAYMENT}}, "100.00 EUR"),
        ({"fee": FEE}, None),
        ({"transferFee": FEE, "payload": {"payment": PAYMENT}}, "100.00 EUR"),
        ({"ServiceFees": FEE, "a": {"payment": PAYMENT}}, "100.00 EUR"),
        ({"transaction_fee": FEE, "a": {"payment": PAYMENT}}, "100.00 EUR"),
        ({"feeDetails": {"total": FEE}, "a": {"b": {"payment": PAYMENT}}}, "100.00 EUR"),
        ({"TRANSFER_FEE": FEE, "FXFee": FEE, "bankCharges2": FEE, "COMMISSIONAmount": FEE}, None),
        ({"transferfee": FEE, "payload": {"payment": PAYMENT}}, "100.00 EUR"),
        ({"TransferFEE": FEE, "payload": {"payment": PAYMENT}}, "100.00 EUR"),
        # Of other words such letters are no more than a part.
        ({"coffee": PAYMENT}, "100.00 EUR"),
        ({"chargeBack": PAYMENT}, "100.00 EUR"),
        ({"chargebackFeedback": PAYMENT}, "100.00 EUR"),
        # What stands beside the id counts before all else.
        ({"amount": "9", "costs": FEE, "payment": {"no": "P1", **PAYMENT}}, "100.00 EUR"),
        ({"no": "P1", "costs": FEE, "payment": {"paymentNo": "P1", **PAYMENT}}, "100.00 EUR"),
        ({"fee": {"no": "P1", **FEE}, "payment": {"no": "P1", **PAYMENT}}, "100.00 EUR"),
        ({"amount": "9", "payment": {"no": "P1", "amount": "1,000"}}, None),
        ({"amount": "9", "payment": {"no": "P1"}}, "9"),
        # A currency may stand in the amount, or beside it.
        ({"currency": "EUR", "amount": {"Amount": "5.00"}}, "5.00 EUR"),
        ({"currency": "EUR", "amount": {"amount": "5.00 USD", "fee": FEE}}, "5.00 USD"),
        ({"currency": "EUR", "a": {"amount": "5.00"}}, "5.00"),
    ],
)
def test_an_amount_that_may_stand_anywhere_is_the_nearest_one_or_none(body: dict[str, Any], money: str | None) -> None:
    worth, currency = new_shapes.money_anywhere(body, "P1")
    assert (" ".join(filter(None, (json_values.decimal_text(worth), currency))) or None) == money


def test_an_amount_within_itself_however_deep_is_none() -> None:
    body: dict[str, Any] = {}
    for _ in range(300):
        body = {"amount": body or "1.00"}
    assert new_shapes.money_anywhere(body) == (None, None)


@given(JSON, st.none() | st.text(max_size=5))
def test_any_object_has_an_amount_or_none(value: Any, about: str | None) -> None:
    body = json_values.parse(json.dumps({"amount": value, "a": value, "b": {"AMOUNT": value}}).encode())
    worth, currency = new_shapes.money_anywhere(body, about)
    assert worth is None or worth.is_finite()
    assert currency is None or storable(currency)


def test_a_zero_is_an_amount_and_not_taken_for_one_that_is_missing() -> None:
    assert new_shapes.money_anywhere({"amount": 0, "Amount": "7.00"}) == (Decimal(0), None)
    assert new_shapes.camel_case({"amount": 0, "Amount": "7.00"}) == {"amount": 0}
    assert new_shapes.camel_case({"amount": None, "Amount": "7.00"}) == {"amount": "7.00"}
