"""What an event is found by, as terms: bytes that both databases order alike, and ranges of them that a question means.

A term is what was written, free of case, accents and blanks, then a NUL and a letter for what it is. So whatever begins
with some text is one range of terms, and what is exactly an account is one term. Amounts are written so that they are
ordered by their size, without their sign.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple

CHARACTERS_MAX = 100
"""Of one term; what is behind them is not looked at."""

TERMS_MAX = 60
"""Of one event: more of a long text is not indexed. Ids, accounts and amounts come first."""

WORDS_MAX = 8
"""Of one question: of more, the longest count."""

EVERYTHING, CONFLICT = b"", b"\x02"
"""Terms of every event, and of those that came again with other content."""

_AMOUNT = b"\x01"
_AMOUNT_DIGITS_MAX = 99

PAYMENT, SUBJECT, CURRENCY, ACCOUNT, REFERENCE, TEXT = b"p", b"s", b"c", b"a", b"r", b"t"
"""What a term is. The kinds of facts are in the order in which they are to be found where there are too many."""

# What a fact holds is told by its name, as `receiver.banks.callback.known_facts` says.
_ACCOUNTS = re.compile(r"(.*_)?(account(_number|_id|_no)?|iban|bban)")
_REFERENCES = re.compile(r"(.*_)?(reference|id|no|number|case|mandate)")
_TEXTS = re.compile(r"(.*_)?(remittance|remittance_information|details|description|name|names|parties|line[0-9])")
_NOT_SEARCHED = {"subscription_id", "notification_type", "message_type"}
"""What all events of a subscription share finds nothing."""

HIDDEN = "…"
"""What stands for that which is not shown."""

_CUTS = re.compile(r"[/,;:+|]+")
_EDGES = ".,;:!?()[]{}<>\"'*#/"
_MINUS = "-\u2212\u2013"
_SIGNS = f"+{_MINUS}€$£¥ \u00a0\u202f"
"""What may stand before or behind an amount, with a blank in between or without: signs, currencies, blanks."""

_PLAIN = re.compile(r"[0-9]+")
_POINT = re.compile(r"[0-9]+[.,][0-9]+")
_GROUPED = re.compile(r"[0-9]{1,3}([,.' \u00a0\u202f\u2019])[0-9]{3}(\1[0-9]{3})*([.,][0-9]+)?")
_MONEY = re.compile(
    rf"(?P<before>[A-Za-z]{{3}} ?)?(?P<amount>[{_MINUS}+]?[0-9]"
    r"[0-9.,'\u2019 \u00a0\u202f]*)(?P<behind> ?[A-Za-z]{3})?"
)
_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}( [A-Za-z0-9]{4})+( [A-Za-z0-9]{1,4})?")
"""The beginning of an account's number as people write it (ISO 13616, in groups of four)."""

ID = re.compile(r"(?P<kind>evt|dlv)_[0-9a-f]{0,28}")
"""The beginning of an event's id, or of a delivery's. They are no terms: their own tables are in their order."""


class Range(NamedTuple):
    """The terms from `low` on that come before `high`; where it `spares_private`, of accounts and texts `low` alone."""

    low: bytes
    high: bytes
    spares_private: bool = False

    def holds(self, terms: Sequence[bytes]) -> bool:
        """Tell whether one of the terms, which are sorted, is in it."""
        found = terms[bisect_left(terms, self.low) : bisect_left(terms, self.high)]
        if not self.spares_private:
            return bool(found)
        # What a callback is about may be an account too: then it is a term of both kinds.
        accounts = {term[:-1] for term in found if term[-1:] == ACCOUNT}
        return any(
            term[:-1] == self.low + b"\x00" or (term[-1:] != TEXT and term[:-1] not in accounts) for term in found
        )


@dataclass(frozen=True)
class Condition:
    """What an event must have: a term in one of the ranges `whole`, or for each of `words` one in its ranges."""

    whole: tuple[Range, ...]
    words: tuple[tuple[Range, ...], ...] = ()

    def holds(self, terms: Sequence[bytes]) -> bool:
        """Tell whether an event with these terms, which are sorted, fulfils it."""
        if any(one.holds(terms) for one in self.whole):
            return True
        return bool(self.words) and all(any(one.holds(terms) for one in word) for word in self.words)

    def leads(self) -> list[tuple[Range, ...]]:
        """Return sets of ranges, in each of which every event that fulfils it has a term."""
        return [(*self.whole, *word) for word in self.words] or [self.whole]

    @property
    def is_empty(self) -> bool:
        """Whether no event can fulfil it."""
        return not self.whole and not self.words

    @property
    def is_simple(self) -> bool:
        """Whether to be in one of its ranges is all that it asks."""
        return not self.words and not any(one.spares_private for one in self.whole)


def exactly(term: bytes) -> Range:
    """Return the range that holds one term."""
    return Range(term, term + b"\x00")


def accounts_in(facts: Mapping[str, Any]) -> set[str]:
    """Return the numbers of the accounts that facts name."""
    return {text for kind, text in _named(facts) if kind == ACCOUNT}


def masked_facts(facts: Mapping[str, Any], within: bytes | None = None, *, with_texts: bool = True) -> dict[str, Any]:
    """Return facts with the numbers of accounts masked, see `masked`; without texts, `HIDDEN` stands for each of them.

    Texts are names of parties and what the payer wrote.
    """

    def shown(value: Any, kind: bytes | None) -> Any:
        if isinstance(value, Mapping):
            return masked_facts(value, kind, with_texts=with_texts)
        if isinstance(value, list):
            return [shown(each, kind) for each in value]
        if kind == TEXT and not with_texts:
            return HIDDEN
        return masked(value) if isinstance(value, str) and kind == ACCOUNT else value

    return {name: shown(value, _kind_of(name, within)) for name, value in facts.items()}


@lru_cache(maxsize=1024)
def _kind_of(name: str, within: bytes | None) -> bytes | None:
    """Return what a fact holds, by its name, or by what it stands in; none where it is not searched for."""
    if name in _NOT_SEARCHED:
        return None
    kinds = ((_ACCOUNTS, ACCOUNT), (_TEXTS, TEXT), (_REFERENCES, REFERENCE))
    own = next((kind for names, kind in kinds if names.fullmatch(name)), None)
    # An account's `number` and `id` are the account's.
    return ACCOUNT if within == ACCOUNT and own == REFERENCE else own or within


def masked(account: str) -> str:
    """Return an account's number with all but its last four characters hidden; a shorter one is hidden whole."""
    return f"{HIDDEN}{account[-4:]}" if len(account) > 4 else HIDDEN


def masked_in(text: str, account: str) -> str:
    """Return a text, such as why a bank could not be asked, with an account's number masked wherever it is in it."""
    return text.replace(account, masked(account)) if account else text


# What an event has


def terms_of(
    facts: Mapping[str, Any],
    *,
    subject: str | None,
    payment_id: str | None,
    amount: str | None,
    currency: str | None,
    conflict: bool,
) -> list[bytes]:
    """Return the terms that an event is found by, each once."""
    found = [EVERYTHING, *([CONFLICT] if conflict else ())]
    found += [*_term(payment_id, PAYMENT), *_term(currency, CURRENCY)]
    found += _term(subject, SUBJECT) if subject != payment_id else ()
    if amount is not None and (worth := _decimal(amount)) is not None:
        found += [written for written in (_amount(worth),) if written is not None]
    named = sorted(_named(facts))
    for kind, text in named:
        for part in _words(text) if kind == TEXT else (text,):
            found += _term(part, kind)
    return list(dict.fromkeys(found))[:TERMS_MAX]


def _named(facts: Mapping[str, Any], within: bytes | None = None) -> Iterator[tuple[bytes, str]]:
    """Go through all texts in facts that are searched for, each with what it is, by its name or what it stands in."""
    for name, value in facts.items():
        kind = _kind_of(name, within)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                yield from _named(each, kind)
            elif isinstance(each, str) and kind is not None:
                yield kind, each


def _folded(text: str) -> str:
    """Return a text free of case, accents, and what can't be seen; blanks are single."""
    single = " ".join(text.split())
    if single.isascii() and single.isprintable():
        return single.lower()
    parted = unicodedata.normalize("NFKD", single).casefold()
    return "".join(one for one in parted if not unicodedata.category(one).startswith(("M", "C")))


def _bytes(text: str) -> bytes:
    return text.replace(" ", "")[:CHARACTERS_MAX].encode("utf-8", "replace")


@lru_cache(maxsize=4096)
def _term(text: str | None, kind: bytes) -> Sequence[bytes]:
    value = _bytes(_folded(text)) if text else b""
    return (value + b"\x00" + kind,) if value else ()


def _words(text: str) -> list[str]:
    """Return the words of a text: what stands between blanks, and the parts of such as `/ROC/2026-0815`."""
    found = []
    for word in text.split():
        parts = _CUTS.split(word)
        found += [word.strip(_EDGES), *([part.strip(_EDGES) for part in parts] if len(parts) > 1 else ())]
    return [word for word in found if word]


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found.copy_abs() if found.is_finite() and abs(found.adjusted()) < _AMOUNT_DIGITS_MAX else None


def _amount(worth: Decimal) -> bytes | None:
    """Write an amount so that larger ones come later: how many digits its units have, these, and the decimals."""
    if worth and abs(worth.adjusted()) >= _AMOUNT_DIGITS_MAX:
        return None
    units, _, decimals = f"{worth:f}".partition(".")
    units = units.lstrip("0")
    if len(units) > _AMOUNT_DIGITS_MAX:
        return None
    return _AMOUNT + f"{len(units):02}{units}{decimals.rstrip('0')[:CHARACTERS_MAX]}".encode()


# What a question asks for


def beginning(text: str, *, spares_private: bool = False) -> Range:
    """Return the range of terms of any kind that begin with a text. Its blanks do not count."""
    low = _bytes(_folded(text))
    return Range(low, low + b"\xff", spares_private)


def whole(text: str, kind: bytes) -> Condition:
    """Return the condition that something of a kind is a text, case and blanks aside; an empty one is nothing."""
    return Condition(tuple(exactly(term) for term in _term(text, kind)))


def any_of(texts: Iterable[str], kind: bytes) -> Condition:
    """Return the condition that something of a kind is one of the texts."""
    return Condition(tuple(one for text in texts for one in whole(text, kind).whole))


def between(least: Decimal | None, most: Decimal | None) -> Condition:
    """Return the condition that the amount, without its sign, is in a range, its ends included."""
    low = _amount(least.copy_abs()) if least is not None else _AMOUNT
    high = _amount(most.copy_abs()) if most is not None else None
    return Condition((Range(low or CONFLICT, high + b"\x00" if high else CONFLICT),))


def question(text: str, *, spares_private: bool = False) -> Condition | None:
    """Return what a person's question means, none where it is empty.

    As a whole it is the beginning of an id, a reference, an account, or a word; or an amount. Of several words each may
    be the beginning of something else. Where it `spares_private`, accounts and the words of texts are meant as a whole:
    letter by letter one would come to read them.
    """
    asked = " ".join(text.split())
    if not _bytes(_folded(asked)):
        return None
    if _IBAN.fullmatch(asked):
        return Condition((beginning(asked, spares_private=spares_private),))
    # A sign that stands alone, such as the € of `1000 €`, is nothing that an event has to have.
    parts = {word for word in asked.split(" ") if word.strip(_SIGNS)}
    words = _money_words(asked.strip(_SIGNS)) or sorted(parts, key=len, reverse=True)[:WORDS_MAX]
    meant = [ranges for word in words if (ranges := _meanings(word, spares_private))]
    if len(meant) == 1:
        return Condition(meant[0])
    return Condition((beginning(asked, spares_private=spares_private),), tuple(meant))


def _meanings(word: str, spares_private: bool) -> tuple[Range, ...]:
    stripped = word.strip(_EDGES)
    texts = [beginning(stripped, spares_private=spares_private)] if _bytes(_folded(stripped)) else []
    return (*texts, *(_of_amount(units) for units in _amounts(word)))


def _money_words(asked: str) -> list[str] | None:
    """Return amount and currency of a question that is nothing else, such as `1 000,00 EUR`; none where it is more."""
    found = _MONEY.fullmatch(asked)
    if found is None or not _amounts(found["amount"].strip()):
        return None
    return [part.strip() for part in (found["amount"], found["before"] or found["behind"]) if part]


def _amounts(word: str) -> list[str]:
    """Return what a word may mean as an amount, with a decimal point: `1,000` is a thousand, or one and no more."""
    written = word.strip(_SIGNS)
    found = []
    if grouped := _GROUPED.fullmatch(written):
        decimals = grouped[3] or ""
        if not decimals.startswith(grouped[1]):
            units = re.sub(r"[^0-9]", "", written[: len(written) - len(decimals)])
            found.append(units + decimals.replace(",", "."))
    if _PLAIN.fullmatch(written) or _POINT.fullmatch(written):
        found.append(written.replace(",", "."))
    return [amount for amount in found if len(amount) <= _AMOUNT_DIGITS_MAX]


def _of_amount(typed: str) -> Range:
    """Return the amounts that begin with one that was typed: `1000` with 1000.50, `1000.5` with 1000.55."""
    least = Decimal(typed)
    decimals = len(typed.partition(".")[2])
    low, high = _amount(least), _amount(least + Decimal(1).scaleb(-decimals))
    assert low is not None  # noqa: S101 - its digits were counted
    return Range(low, high or CONFLICT)
