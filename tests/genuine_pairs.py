"""Pairs of genuine callbacks of each bank, and whether they are one event or two by the bank's rules.

Written from what the banks document of their callbacks; nothing of `receiver` is imported here. What a value *means* is
known because it was made from its meaning. Two values of different meanings are never one event, whatever form they are
in; one of which nothing can be read differs from any other that is written otherwise.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

TIMESTAMP = "x-connectpay-timestamp"
MESSAGE_ID = "id"

ODDS_UNREADABLE = 0.1


class Number(str):
    """A JSON number, digit by digit."""

    __slots__ = ()


class Missing:
    """In place of a value: the field is not there."""


MISSING = Missing()


class Twice(list[Any]):
    """In place of a value: the field is there twice, with another value each time."""


class Value(NamedTuple):
    """A value as it is written, what it means, and whether its form is a documented one."""

    written: Any
    means: object
    is_plain: bool = True


Values = Mapping[str, Value]
Make = Callable[[Random], Value]


@dataclass(frozen=True)
class Told:
    """A callback before it is signed: its text, and what the bank tells in headers that set events apart."""

    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Two callbacks that differ in one field; `added` events of the second one are none of the first."""

    bank: str
    differ_in: str
    first: Told
    second: Told
    added: int
    conflict: bool = False
    """Whether the second one says something else of the same event."""


def dumps(value: Any) -> str:
    """Write JSON, numbers to their last digit; fields that are missing are left out."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        members = (
            f"{json.dumps(name)}:{dumps(each)}"
            for name, written in value.items()
            if written is not MISSING
            for each in (written if isinstance(written, Twice) else (written,))
        )
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dumps(each) for each in value if each is not MISSING) + "]"
    return json.dumps(value)


# Values

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/ éß漢"


def some_text(random: Random, prefix: str = "") -> str:
    return prefix + "".join(random.choices(_LETTERS, k=random.randint(6, 12)))


def an_id(random: Random, prefix: str = "") -> Value:
    """An id: a text, or a whole number of up to 200 digits as a number or as a text."""
    if prefix or random.random() < 0.5:
        text = some_text(random, prefix or "x")
        return Value(text, text)
    digits = random.choice("123456789")
    digits += "".join(random.choices("0123456789", k=random.choice([3, 9, 17, 18, 19, 39, 199])))
    return Value(random.choice([digits, Number(digits)]), digits)


def a_payers_id(random: Random) -> Value:
    return an_id(random, "payer ")


def absent(random: Random) -> Value:
    """Nothing, in two forms."""
    return Value(random.choice([MISSING, None]), "absent", False)


def illegible(random: Random) -> Value:
    """What is there, and is no id, word or amount."""
    word = some_text(random)
    written: Any = random.choice(
        [
            "",
            True,
            Number("1.5"),
            Number("1e400"),
            [word],
            Twice([word, "1"]),
            {"nested": word},
            {},
            word * 40,
            f"{word}\0",
            f"{word}\x1b[0m",
            f"{word}\ud800",
            Number("1" + "0" * 200 + random.choice("0123456789")),
        ]
    )
    return Value(written, ("written", dumps(written)), False)


def unreadable(random: Random) -> Value:
    """What is illegible, or not there; by the letter, since nothing better is known."""
    found = random.choice([absent, illegible])(random)
    return found if found.means != "absent" else Value(found.written, ("absent", found.written is None), False)


def a_word(*words: str, same: Callable[[str], str] = str, is_plain: bool = True) -> Make:
    """One of these words; those that `same` makes equal mean the same."""

    def make(random: Random) -> Value:
        word = random.choice(words)
        return Value(word, same(word), is_plain)

    return make


def an_amount(random: Random) -> Value:
    """An amount in the documented form: a number, or a decimal text."""
    amount = Decimal(random.randint(1, 10 ** random.choice([2, 5, 9, 20]))) / random.choice([1, 100])
    plain = f"{amount:f}"
    written = random.choice([plain, plain, Number(plain), f"{amount:.4f}", f"{amount:E}"])
    return Value(written, amount.normalize())


def an_odd_amount(random: Random) -> Value:
    """An amount in a form that is not documented, in which a reader may see it or not."""
    amount = Decimal(random.randint(100_000, 10**9)) / 100
    grouped = f"{amount:,.2f}"
    swapped = grouped.translate(str.maketrans(",.", ".,"))
    odd = [grouped, swapped, f"{amount:.2f}".replace(".", ","), grouped.replace(",", " ")]
    return Value(random.choice(odd), amount.normalize(), False)


def no_amount(random: Random) -> Value:
    """What is no amount, or not there; a number with a fraction is one, though it is no id."""
    while (found := unreadable(random)).written == "1.5":
        pass
    return found


def an_ambiguous_amount(random: Random) -> Value:
    """A thousand, or one with three decimals: nobody can tell."""
    written = f"{random.randint(1, 999)},{random.randint(0, 999):03}"
    return Value(written, ("written", written), False)


# Callbacks


class Field(NamedTuple):
    """How the values of an identifying field are made: as a rule, and what else may stand in their place."""

    usual: Make
    others: Sequence[Make] = (unreadable,)

    def value(self, random: Random) -> Value:
        return (self.usual if random.random() > ODDS_UNREADABLE else random.choice(self.others))(random)

    def other(self, random: Random, than: Value) -> Value:
        """Another value of another meaning."""
        while True:
            found = random.choice([self.usual, *self.others])(random)
            if found.means != than.means:
                return found


@dataclass(frozen=True)
class Shape:
    """A kind of callback: its identifying fields, and what else stands in it.

    `counts_elsewhere` says of values and rest whether a difference in the rest makes another event; none where that is
    left to the reader, who may see more than is documented.
    """

    bank: str
    fields: Mapping[str, Field]
    rest: Callable[[Random], dict[str, Any]]
    write: Callable[[Values, Mapping[str, Any]], Told]
    counts_elsewhere: Callable[[Values, Mapping[str, Any]], bool | None]

    def pair(self, random: Random) -> Pair:
        """Two callbacks that differ in an identifying field, or elsewhere, or not at all."""
        values = {name: each.value(random) for name, each in self.fields.items()}
        rest, kind = self.rest(random), random.random()
        first = self.write(values, rest)
        elsewhere = self.counts_elsewhere(values, rest) if kind < 0.3 else None
        if kind < 0.1:
            return Pair(self.bank, "nothing", first, self.write(values, rest), added=0)
        if elsewhere is not None:
            second = self.write(values, {**rest, "remark": some_text(random, "another ")})
            return Pair(self.bank, "the rest", first, second, added=int(elsewhere), conflict=not elsewhere)
        while True:
            name = random.choice(list(self.fields))
            changed = {**values, name: self.fields[name].other(random, values[name])}
            second = self.write(changed, rest)
            if second != first:
                return Pair(self.bank, name, first, second, added=1)


def _is_plain(values: Values, *names: str) -> bool:
    return all(values[name].is_plain for name in names or values)


# BCB

_PLACES = ("value", "value", "value", "beside", "Amount", "text")
"""Where the amount stands; the first one is documented."""


def _deposit(values: Values, rest: Mapping[str, Any]) -> Told:
    amount, currency = values["amount"].written, values["currency"].written
    if rest["place"] == "value":
        money: dict[str, Any] = {"value": {"amount": amount, "currency": currency}}
    elif rest["place"] == "beside":
        money = {"amount": amount, "currency": currency}
    elif rest["place"] == "Amount":
        money = {"value": {"Amount": amount, "currency": currency}}
    else:
        texts = isinstance(amount, str) and isinstance(currency, str)
        money = {"value": f"{amount} {currency}" if texts else {"money": [amount, {"in": currency}]}}
    named = {name: values[name].written for name in ("topic", "accountNumber", "transactionId", "type")}
    details = rest.get("remark", "Payment details")
    return Told(dumps({"subscriptionId": rest["subscription"], **named, **money, "transactionDetails": details}))


def _deposit_elsewhere(values: Values, rest: Mapping[str, Any]) -> bool | None:
    if not _is_plain(values, "topic", "accountNumber", "transactionId", "type"):
        return True
    money = (values["amount"], values["currency"])
    if rest["place"] != "value":
        return None
    if any(isinstance(each.means, tuple) for each in money):
        return True
    return False if _is_plain(values) else None


DEPOSIT = Shape(
    "bcb",
    {
        "topic": Field(a_word("Deposits", "DEPOSITS", same=str.lower), [a_word("Fees", is_plain=False), unreadable]),
        "accountNumber": Field(an_id),
        "transactionId": Field(an_id),
        "type": Field(a_word("Credit", "Debit"), [an_id, unreadable]),
        "amount": Field(an_amount, [an_odd_amount, an_ambiguous_amount, no_amount]),
        "currency": Field(a_word("USD", "EUR", "BMD", "GBP")),
    },
    lambda random: {"subscription": some_text(random), "place": random.choice(_PLACES)},
    _deposit,
    _deposit_elsewhere,
)

_JOB_STATES = ("Pending", "InProgress", "Completed", "COMPLETED", "CompletedWithErrors", "Cancelled")


def _job(values: Values, rest: Mapping[str, Any]) -> Told:
    names = ("jobId", "jobStatus") if rest["is_camel"] else ("JobId", "JobStatus")
    named = {name: values[field].written for name, field in zip(names, ("job", "state"), strict=True)}
    return Told(dumps({**named, "eventType": "job.status", "summary": {"remark": rest.get("remark", "")}}))


JOB = Shape(
    "bcb",
    {"job": Field(an_id), "state": Field(a_word(*_JOB_STATES, same=str.lower))},
    lambda random: {"is_camel": random.random() < 0.5},
    _job,
    lambda values, _: not _is_plain(values),
)


# Banking Circle

_KINDS = ("IncomingPaymentProcessed", "OutgoingPaymentBooked", "MissingFunding", "PaymentStatus", "SomethingNew")


def _notification(event_id: Any, kind: str, remark: str) -> dict[str, Any]:
    payment = {"paymentId": "9ffa7024", "transactionReference": "010F1", "amount": Number("-5.25"), "remark": remark}
    return {
        "eventId": event_id,
        "notificationType": kind,
        "timestamp": "2023-09-23T14:53:52.8581798Z",
        "payment": payment,
    }


def _batch(values: Values, rest: Mapping[str, Any]) -> Told:
    listed = [_notification(event_id, "Reversed", "the same") for event_id in rest["others"]]
    listed.insert(rest["at"], _notification(values["eventId"].written, rest["kind"], rest.get("remark", "")))
    return Told(dumps({"notifications": listed} if rest["has_envelope"] else listed))


def _batch_rest(random: Random) -> dict[str, Any]:
    others = [some_text(random, f"other {number} ") for number in range(random.randint(0, 2))]
    return {
        "others": others,
        "at": random.randint(0, len(others)),
        "kind": random.choice(_KINDS),
        "has_envelope": random.random() < 0.7,
    }


BATCH = Shape("banking_circle", {"eventId": Field(an_id)}, _batch_rest, _batch, lambda values, _: not _is_plain(values))


# ConnectPay

_PAYMENT_TYPES = (
    *(
        "OutgoingPayment.Created",
        "OutgoingPayment.Processing",
        "OutgoingPayment.Completed",
        "outgoingpayment.COMPLETED",
    ),
    *("OutgoingPayment.Rejected", "IncomingPayment.Completed"),
)
_OTHER_TYPES = ("Account.BalanceChanged", "BaaSPersonIdv.Approved", "BaaSCard.Activated", "BaaSCard.Blocked")
_UNKNOWN_TYPES = ("Account.Closed", "Loan.Granted", "OutgoingPayment")

_a_payment_type, _another_type = a_word(*_PAYMENT_TYPES, same=str.lower), a_word(*_OTHER_TYPES, is_plain=False)
_an_unknown_type = a_word(*_UNKNOWN_TYPES, is_plain=False)

_STATES = ("HELD", "held", "BOOKED", "SCREENED")
"""Words of no type of event, so that none of them means what an absent status means by the type."""


def an_instant(random: Random) -> Value:
    """A time in any form, to the nanosecond at most."""
    seconds = random.choice([1_700_000_000, random.randint(1_000_000_000, 2_000_000_000)])
    digits = random.choice([0, 0, 3, 6, 7, 9])
    fraction = "".join(random.choices("0123456789", k=digits))
    means = seconds * 10**9 + int(fraction.ljust(9, "0"))
    point = f".{fraction}" if fraction else ""
    forms = [f"{seconds}{point}", _iso(seconds, point, "Z"), _iso(seconds + 3600, point, "+01:00")]
    if digits == 3:
        forms.append(f"{seconds}{fraction}")
    return Value(random.choice(forms), means)


def _iso(seconds: int, point: str, zone: str) -> str:
    days, rest = divmod(seconds, 86400)
    # Civil from days, as Howard Hinnant has it.
    era, of_era = divmod(days + 719_468, 146_097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146_096) // 365
    day_of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{year:04}-{month:02}-{day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}{point}{zone}"


def no_instant(random: Random) -> Value:
    """A header that holds no time, or is not there."""
    written = random.choice(["", "now", f"soon {random.randint(1, 9)}", "17000000000000000000", "2023-13-45T00:00:00Z"])
    return Value(written, ("written", written), False)


_ANY_TYPE = (_a_payment_type, _another_type, _an_unknown_type, unreadable)
_TIME = Field(an_instant, [no_instant])


def _connectpay(values: Values, rest: Mapping[str, Any]) -> Told:
    fields = {**rest["fields"], **{name: each.written for name, each in values.items() if name not in ("type", "time")}}
    fields["remark"] = rest.get("remark", "")
    typed = {rest["type_name"]: values["type"].written}
    body = {**typed, **fields} if rest["is_flat"] else {**typed, "data": fields}
    time = values["time"].written if "time" in values else rest["time"]
    return Told(dumps(body), {TIMESTAMP: time})


def _connectpay_rest(**makes: Make) -> Callable[[Random], dict[str, Any]]:
    def rest(random: Random) -> dict[str, Any]:
        return {
            "fields": {name: make(random).written for name, make in makes.items()},
            "type_name": random.choice(["eventType", "type", "event"]),
            "is_flat": random.random() < 0.5,
            "time": _TIME.value(random).written,
        }

    return rest


def a_transaction(random: Random) -> Value:
    return an_id(random, "TX-")


def _transaction_or_not(random: Random) -> Value:
    return random.choice([a_transaction, absent])(random)


def _ordered_elsewhere(values: Values, _rest: Mapping[str, Any]) -> bool | None:
    """Without an order's number, that of a transaction may stand in."""
    if values["paymentOrderNo"].means == "absent" and _is_plain(values, "type"):
        return None
    return not _is_plain(values, "type", "paymentOrderNo") or isinstance(values["paymentStatus"].means, tuple)


_STATUS = Field(a_word(*_STATES, same=str.upper), [absent, illegible])

PAYMENT_ORDER = Shape(
    "connectpay",
    {
        "type": Field(_a_payment_type, _ANY_TYPE),
        "paymentOrderNo": Field(an_id, [absent, illegible]),
        "paymentStatus": _STATUS,
    },
    _connectpay_rest(transactionId=_transaction_or_not, externalReference=a_payers_id, amount=an_amount),
    _connectpay,
    _ordered_elsewhere,
)

TRANSACTION = Shape(
    "connectpay",
    {"type": Field(_a_payment_type, _ANY_TYPE), "transactionId": Field(a_transaction, [absent, illegible])},
    _connectpay_rest(paymentOrderNo=absent, externalReference=a_payers_id, amount=an_amount),
    _connectpay,
    lambda values, _: not _is_plain(values),
)

PAYERS_REFERENCE = Shape(
    "connectpay",
    {
        "type": Field(_a_payment_type, _ANY_TYPE),
        "externalReference": Field(a_payers_id),
        "amount": Field(an_amount, [no_amount]),
        "time": _TIME,
    },
    _connectpay_rest(),
    _connectpay,
    lambda *_: True,
)

NEWS = Shape(
    "connectpay",
    {
        "type": Field(_another_type, [_another_type, _an_unknown_type, unreadable]),
        "accountId": Field(an_id),
        "balance": Field(an_amount, [no_amount]),
        "time": _TIME,
    },
    _connectpay_rest(externalReference=a_payers_id),
    _connectpay,
    lambda *_: True,
)


# Banqup


def _message(values: Values, rest: Mapping[str, Any]) -> Told:
    data = {"status": {"payment": "PAID"}, "amount": Number("5.50"), "remark": rest.get("remark", "")}
    return Told(dumps({"category": rest["category"], "id": values["id"].written, "resourceId": "pay-1", "data": data}))


MESSAGE = Shape(
    "banqup",
    {"id": Field(an_id)},
    lambda random: {"category": random.choice(["payment", "document", "novelty", None])},
    _message,
    lambda values, _: not _is_plain(values),
)


# Standard Webhooks


def _a_message_id(random: Random) -> Value:
    text = "msg_" + "".join(random.choices("abcdefXYZ0123456789-_", k=8))
    return Value(text, text)


def _webhook(values: Values, rest: Mapping[str, Any]) -> Told:
    body = {"type": rest["type"], "data": {"id": rest["own"], "remark": rest.get("remark", "")}}
    text = dumps(body) if rest["is_json"] else f"no JSON {rest.get('remark', '')}"
    return Told(text, {MESSAGE_ID: values["webhook-id"].written})


WEBHOOK = Shape(
    "standard_webhooks",
    {"webhook-id": Field(_a_message_id, [_a_message_id])},
    lambda random: {
        "type": random.choice(["invoice.paid", "", None, 7]),
        "own": some_text(random),
        "is_json": random.random() < 0.8,
    },
    _webhook,
    lambda *_: False,
)

SHAPES = {
    "bcb": (DEPOSIT, DEPOSIT, JOB),
    "banking_circle": (BATCH,),
    "connectpay": (PAYMENT_ORDER, TRANSACTION, PAYERS_REFERENCE, NEWS),
    "banqup": (MESSAGE,),
    "standard_webhooks": (WEBHOOK,),
}


def make_pair(random: Random, bank: str) -> Pair:
    """A pair of callbacks of a bank."""
    return random.choice(SHAPES[bank]).pair(random)
