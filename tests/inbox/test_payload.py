"""A payload as people read it: on lines of its own, and otherwise as the bank wrote it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.inbox.payload import indented

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([None, 0, 4]))
def test_it_says_the_same_with_indents(value: object, indent: int | None) -> None:
    for ascii_only in (True, False):
        text = indented(json.dumps(value, indent=indent, ensure_ascii=ascii_only))
        assert text == json.dumps(value, indent=2, ensure_ascii=ascii_only)


@pytest.mark.parametrize("number", ["145.250", "1E400", "-0", "0.10000000000000000000000001", str(10**40)])
def test_a_number_stays_as_it_is_written(number: str) -> None:
    assert indented(f'{{"amount":{number}}}') == f'{{\n  "amount": {number}\n}}'


def test_a_name_that_stands_twice_is_shown_twice() -> None:
    assert indented('{"a":1,"a":2}') == '{\n  "a": 1,\n  "a": 2\n}'


@pytest.mark.parametrize("text", ["", "{", "not JSON", "[1] [2]", "[" * 100_000])
def test_what_is_no_json_is_one_json_string(text: str) -> None:
    assert json.loads(indented(text)) == text
