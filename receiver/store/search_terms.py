"""What an event is found by, as terms: bytes that both databases order alike, and ranges of them that a question means.

A term is what was written, free of case, accents and blanks, then a NUL and a letter for what it is. So whatever begins
with some text is one range of terms, and what is exactly an account is one term. Amounts are written so that they are
ordered by their size, without their sign.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple

CHARACTERS_MAX = 100
"""Of one term; what is behind them is not looked at."""

TERMS_MAX = 60
"""Of one event: more of a long text is not indexed. Ids, accounts and amounts come first."""

EVERYTHING, CONFLICT = b"", b"\x02"
"""Terms of every event, and of those that came again with other content."""

AMOUNT = b"\x01"
AMOUNT_DIGITS_MAX = 99

PAYMENT, SUBJECT, CURRENCY, ACCOUNT, REFERENCE, TEXT = b"p", b"s", b"c", b"a", b"r", b"t"
"""What a term is. The kinds of facts are in the order in which they are to be found where there are too many."""

SAID, ENTRY = b"w", b"e"
"""What else a fact may hold, which is no term: a bank's own words on what failed, what it gave that can't be read."""

# What a fact holds is told by its name, as `receiver.banks.callback.known_facts` says.
_ACCOUNTS = re.compile(r"(.*_)?(account(_number|_id|_no)?|iban|bban)")
_REFERENCES = re.compile(r"(.*_)?(reference|id|no|number|case|mandate)")
_TEXTS = re.compile(
    r"(.*_)?(remittance|remittance_information|details|description|name|names|holder|owner|parties|line[0-9])"
)
_SAID = re.compile(r"(.*_)?(errors|reasons?|failures)")
_ENTRIES = re.compile(r"(.*_)?unreadable")
_NOT_SEARCHED = {"subscription_id", "notification_type", "message_type"}
"""What all events of a subscription share finds nothing."""

HIDDEN = "…"
"""What stands for that which is not shown."""

_CUTS = re.compile(r"[/,;:+|]+")
EDGES = ".,;:!?()[]{}<>\"'*#/"


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

    Texts are names of parties, what the payer wrote, and what a bank says in its own words. `HIDDEN` always stands for
    what a bank gave that can't be read: accounts may stand in it.
    """

    def shown(value: Any, kind: bytes | None) -> Any:
        if kind == ENTRY:
            return HIDDEN
        if isinstance(value, Mapping):
            return masked_facts(value, kind, with_texts=with_texts)
        if isinstance(value, list):
            return [shown(each, kind) for each in value]
        if not with_texts and (kind == TEXT or (kind == SAID and isinstance(value, str))):
            return HIDDEN
        return masked(value) if isinstance(value, str) and kind == ACCOUNT else value

    return {name: shown(value, _kind_of(name, within)) for name, value in facts.items()}


@lru_cache(maxsize=1024)
def _kind_of(name: str, within: bytes | None) -> bytes | None:
    """Return what a fact holds, by its name, or by what it stands in; none where its name does not tell."""
    if name in _NOT_SEARCHED:
        return None
    kinds = ((_ACCOUNTS, ACCOUNT), (_TEXTS, TEXT), (_SAID, SAID), (_ENTRIES, ENTRY), (_REFERENCES, REFERENCE))
    own = next((kind for names, kind in kinds if names.fullmatch(name)), None)
    # An account's `number` and `id` are the account's.
    return ACCOUNT if within == ACCOUNT and own == REFERENCE else own or within


def masked(account: str) -> str:
    """Return an account's number with all but its last four characters hidden; a shorter one is hidden whole."""
    return f"{HIDDEN}{account[-4:]}" if len(account) > 4 else HIDDEN


def masked_list(name: str) -> str:
    """Return the name of a bank's list, masked where it may be an account's number: such a number has a digit."""
    return masked(name) if any(character.isdigit() for character in name) else name


def masked_subject(subject: str | None, facts: Mapping[str, Any]) -> str | None:
    """Return what an event is about, masked where that is an account that its facts name."""
    return masked(subject) if subject is not None and subject in accounts_in(facts) else subject


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
    found += [*terms_of_text(payment_id, PAYMENT), *terms_of_text(currency, CURRENCY)]
    found += terms_of_text(subject, SUBJECT) if subject != payment_id else ()
    if amount is not None and (worth := _decimal(amount)) is not None:
        found += [written for written in (amount_term(worth),) if written is not None]
    named = sorted(_named(facts))
    for kind, text in named:
        for part in _words(text) if kind == TEXT else (text,):
            found += terms_of_text(part, kind)
    return list(dict.fromkeys(found))[:TERMS_MAX]


def _named(facts: Mapping[str, Any], within: bytes | None = None) -> Iterator[tuple[bytes, str]]:
    """Go through all texts in facts that are searched for, each with what it is, by its name or what it stands in."""
    for name, value in facts.items():
        kind = _kind_of(name, within)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                yield from _named(each, kind)
            elif isinstance(each, str) and kind not in (None, SAID, ENTRY):
                yield kind, each


def _folded(text: str) -> str:
    """Return a text free of case, accents, and what can't be seen; blanks are single."""
    single = " ".join(text.split())
    if single.isascii() and single.isprintable():
        return single.lower()
    parted = unicodedata.normalize("NFKD", single).casefold()
    return "".join(one for one in parted if not unicodedata.category(one).startswith(("M", "C")))


def text_bytes(text: str) -> bytes:
    """Return what a term has of a text: free of case, accents and blanks."""
    return _folded(text).replace(" ", "")[:CHARACTERS_MAX].encode("utf-8", "replace")


@lru_cache(maxsize=4096)
def terms_of_text(text: str | None, kind: bytes) -> Sequence[bytes]:
    """Return the one term of a text; none where nothing of it is left."""
    value = text_bytes(text) if text else b""
    return (value + b"\x00" + kind,) if value else ()


def _words(text: str) -> list[str]:
    """Return the words of a text: what stands between blanks, and the parts of such as `/ROC/2026-0815`."""
    found = []
    for word in text.split():
        parts = _CUTS.split(word)
        found += [word.strip(EDGES), *([part.strip(EDGES) for part in parts] if len(parts) > 1 else ())]
    return [word for word in found if word]


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found.copy_abs() if found.is_finite() and abs(found.adjusted()) < AMOUNT_DIGITS_MAX else None


def amount_term(worth: Decimal) -> bytes | None:
    """Write an amount so that larger ones come later: how many digits its units have, these, and the decimals."""
    if worth and abs(worth.adjusted()) >= AMOUNT_DIGITS_MAX:
        return None
    units, _, decimals = f"{worth:f}".partition(".")
    units = units.lstrip("0")
    if len(units) > AMOUNT_DIGITS_MAX:
        return None
    return AMOUNT + f"{len(units):02}{units}{decimals.rstrip('0')[:CHARACTERS_MAX]}".encode()
