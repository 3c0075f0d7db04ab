"""What a person's question means: ranges of terms that an event must have, see `search_terms`."""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from receiver.store.search_terms import (
    AMOUNT,
    AMOUNT_DIGITS_MAX,
    CONFLICT,
    EDGES,
    Condition,
    Range,
    amount_term,
    exactly,
    terms_of_text,
    text_bytes,
)

WORDS_MAX = 8
"""Of one question: of more, the longest count."""

_MINUS = "-\u2212\u2013"
CURRENCY_SIGNS = "€$£¥"
_SIGNS = f"+{_MINUS}{CURRENCY_SIGNS} \u00a0\u202f"
"""What may stand before or behind an amount, with a blank in between or without: signs, currencies, blanks."""

_AROUND = _SIGNS + EDGES

_PLAIN = re.compile(r"[0-9]+")
_POINT = re.compile(r"[0-9]+[.,][0-9]+")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}([,.' \u00a0\u202f\u2019])[0-9]{3}(\1[0-9]{3})*([.,][0-9]+)?")
_MONEY = re.compile(
    rf"(?P<before>[A-Za-z]{{3}} ?)?(?P<amount>[{_MINUS}+]?[0-9]"
    r"[0-9.,'\u2019 \u00a0\u202f]*)(?P<behind> ?[A-Za-z]{3})?"
)
_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}")
_IBAN_SAID = re.compile(r"(?<!\S)iban(?:: ?| )(?=[a-z]{2}[0-9]{2})", re.IGNORECASE)
"""What people write before one."""

_IBAN_BEGUN = re.compile(r"[A-Za-z]{2}[0-9]{2}( [0-9]{4}){2,}( [0-9]{1,4})?")
"""The beginning of one as people write it (in groups of four), which is not to be searched for group by group."""

_IBAN_GROUPS_MAX = 9

_ID = re.compile(r"(?P<kind>evt|dlv)_[0-9a-f]{0,28}")
"""The beginning of an event's id, or of a delivery's. They are no terms: their own tables are in their order."""


def is_blank(text: str) -> bool:
    """Tell whether a question holds no letter and no digit: it asks nothing, and would restrict nothing."""
    return not any(map(str.isalnum, text))


def beginning_of_id(text: str) -> str | None:
    """Return a question that is the beginning of an event's id, or of a delivery's; none where it is none."""
    asked = text.strip().strip(EDGES).lower()
    return asked if _ID.fullmatch(asked) else None


def beginning(text: str, *, spares_private: bool = False) -> Range:
    """Return the range of terms of any kind that begin with a text. Its blanks do not count."""
    low = text_bytes(text)
    return Range(low, low + b"\xff", spares_private)


def whole(text: str, kind: bytes) -> Condition:
    """Return the condition that something of a kind is a text, case and blanks aside; an empty one is nothing."""
    return Condition(tuple(exactly(term) for term in terms_of_text(text, kind)))


def any_of(texts: Iterable[str], kind: bytes) -> Condition:
    """Return the condition that something of a kind is one of the texts."""
    return Condition(tuple(one for text in texts for one in whole(text, kind).whole))


def between(least: Decimal | None, most: Decimal | None) -> Condition:
    """Return the condition that the amount, without its sign, is in a range, its ends included."""
    low = amount_term(least.copy_abs()) if least is not None else AMOUNT
    high = amount_term(most.copy_abs()) if most is not None else None
    return Condition((Range(low or CONFLICT, high + b"\x00" if high else CONFLICT),))


def question(text: str, *, spares_private: bool = False) -> Condition | None:
    """Return what a person's question means, none where it is empty.

    As a whole it is the beginning of an id, a reference, an account, or a word; or an amount. Of several words each may
    be the beginning of something else. Where it `spares_private`, accounts and the words of texts are meant as a whole:
    letter by letter one would come to read them.
    """
    asked = _IBAN_SAID.sub("", " ".join(text.split()))
    if not text_bytes(asked):
        return None
    if _IBAN_BEGUN.fullmatch(asked):
        return Condition((beginning(asked, spares_private=spares_private),))
    # A sign that stands alone, such as the € of `1000 €`, is nothing that an event has to have.
    parts = {word for word in _with_whole_ibans(asked.split(" ")) if word.strip(_SIGNS)}
    words = _money_words(asked.strip(_AROUND)) or sorted(parts, key=len, reverse=True)[:WORDS_MAX]
    meant = [ranges for word in words if (ranges := _meanings(word, spares_private))]
    as_a_whole = _of_text(asked, spares_private)
    if len(meant) == 1:
        return Condition(tuple(dict.fromkeys((*as_a_whole, *meant[0]))))
    return Condition(as_a_whole, tuple(meant))


def _with_whole_ibans(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a question, those together that are the groups of one IBAN."""
    while words:
        numbers = range(min(len(words), _IBAN_GROUPS_MAX), 1, -1)
        number = next((number for number in numbers if _is_iban("".join(words[:number]).strip(EDGES))), 1)
        yield "".join(words[:number])
        words = words[number:]


def _is_iban(text: str) -> bool:
    """Tell whether a text is an IBAN, by its check digits (ISO 13616)."""
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def _meanings(word: str, spares_private: bool) -> tuple[Range, ...]:
    return (*_of_text(word, spares_private), *(_of_amount(units) for units in amounts(word)))


def _of_text(text: str, spares_private: bool) -> tuple[Range, ...]:
    """Return what begins with a text, whatever stands around it; what it begins with may be a part of it: `#4711`."""
    parts = dict.fromkeys((text.strip(EDGES), text.rstrip(EDGES)))
    return tuple(beginning(part, spares_private=spares_private) for part in parts if text_bytes(part))


def _money_words(asked: str) -> list[str] | None:
    """Return amount and currency of a question that is nothing else, such as `1 000,00 EUR`; none where it is more."""
    found = _MONEY.fullmatch(asked)
    if found is None or not amounts(found["amount"].strip()):
        return None
    return [part.strip() for part in (found["amount"], found["before"] or found["behind"]) if part]


def amounts(word: str) -> list[str]:
    """Return what a word may mean as an amount, with a decimal point: `1,000` is a thousand, or one and no more."""
    written = word.strip(_AROUND)
    found = []
    if grouped := _GROUPED.fullmatch(written):
        decimals = grouped[3] or ""
        if not decimals.startswith(grouped[1]):
            units = re.sub(r"[^0-9]", "", written[: len(written) - len(decimals)])
            found.append(units + decimals.replace(",", "."))
    if _PLAIN.fullmatch(written) or _POINT.fullmatch(written):
        found.append(written.replace(",", "."))
    return [amount for amount in found if len(amount) <= AMOUNT_DIGITS_MAX]


def _of_amount(typed: str) -> Range:
    """Return the amounts that begin with one that was typed: `1000` with 1000.50, `1000.5` with 1000.55."""
    least = Decimal(typed)
    decimals = len(typed.partition(".")[2])
    low, high = amount_term(least), amount_term(least + Decimal(1).scaleb(-decimals))
    assert low is not None  # noqa: S101 - its digits were counted
    return Range(low, high or CONFLICT)
