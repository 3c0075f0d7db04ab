"""Asking in bulk: where many payments of one account are due, one question for all of them, before any for each."""

import logging
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver import banks
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.abilities import AnswerPage, AnswersInBulk
from receiver.banks.errors import BankError
from receiver.banks.http import HttpClient
from receiver.banks.protocol import Answer, Money
from receiver.model import Purpose
from receiver.reconcile.checks import Reconciler, apart_from_others
from receiver.reconcile.findings import Finding
from receiver.reconcile.plan import askable
from receiver.runtime import Runtime
from receiver.store import due_subjects, leases, particulars, sources
from receiver.store.database import StoreUnavailable, retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.leases import Due, Lease
from receiver.store.search_terms import masked_in
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

MANY = 10
"""So many of one account are due before it is asked for as a whole."""

AT_ONCE = 200
"""Payments and jobs of a source that are looked at together."""

ACCOUNTS_MAX = 20
"""Accounts that are asked for in one turn: others wait for it, a person's question among them."""

SAVED = 2
"""So many payments each page has to answer for, on the average: else a question for each is no dearer."""

PAGES_MAX = 20
"""Of one account at a time, so that it ends before the leases do."""

NOT_FOR = timedelta(hours=1)
"""How long an account is not asked for as a whole once that has saved nothing; a wait for the budget comes on top."""


NEAR = 20
"""An id that is listed twice, as a payment and its fee are, has no more entries than these between the two."""


@dataclass
class Reading:
    """What an account's list has answered so far."""

    answers: dict[str, Answer | None] = field(default_factory=dict)
    """By the payment's id; none for one with several states or amounts, of which nobody knows which is meant."""
    pages: int = 0
    entries: int = 0
    is_whole: bool = False
    """Whether the list was read to its end."""
    _last: dict[str, int] = field(default_factory=dict)
    """Which entry was the last one of an id."""

    def add(self, listed: Sequence[tuple[str, Answer]]) -> None:
        """Take in a page."""
        self.pages += 1
        for payment_id, answer in listed:
            before = self.answers.setdefault(payment_id, answer)
            if before is not None and _said(before) != _said(answer):
                self.answers[payment_id] = None
            self.entries += 1
            self._last[payment_id] = self.entries

    def is_known(self, payment_id: str) -> bool:
        """Tell whether it is known what is said of a payment: no page may end between two entries that differ."""
        if payment_id not in self.answers:
            return False
        is_past = self.is_whole or self.entries - self._last[payment_id] > NEAR
        return is_past or self.answers[payment_id] is None

    def answer(self, payment_id: str) -> Answer | None:
        """Return the one answer about a payment; none where there is none, or that is not known yet."""
        return self.answers[payment_id] if self.is_known(payment_id) else None


def _said(answer: Answer) -> tuple[str, Sequence[Money]]:
    """Return what has to be the same where an id is there twice: fees have that of their payment."""
    return answer.bank_status, tuple(answer.amounts)


class BulkChecks:
    """Checks payments by the lists of their accounts; what is not in them is left to single questions."""

    def __init__(self, runtime: Runtime, reconciler: Reconciler) -> None:
        self._runtime = runtime
        self._reconciler = reconciler
        self._lease = timedelta(seconds=runtime.settings.lease_seconds)
        self._not_before: dict[tuple[int, str], datetime] = {}
        """By source and account; each process has its own."""

    def check_due(self) -> int:
        """Check what is due at every bank that answers in bulk; return how many payments were checked.

        Raises:
            StoreUnavailable
        """
        due = self._due()
        # Any of them: what is left is due still, and as likely to be among the next.
        turn = due if len(due) <= ACCOUNTS_MAX else random.sample(due, ACCOUNTS_MAX)
        return sum(self._check(source, account, ids) for (source, account), ids in turn)

    def _due(self) -> list[tuple[tuple[SourceRecord, str], list[int]]]:
        """Return the payments that are due, by source and account, of those accounts that have many of them."""
        now = self._runtime.clock()
        found: dict[tuple[int, str], list[int]] = {}
        with self._runtime.database.read() as connection:
            known = banks.with_known_banks(sources.every(connection))
            asked = {source.id: source for source in known if _answers_in_bulk(source)}
            due = due_subjects.due_payments(connection, now, AT_ONCE, list(asked))
            if len(due) < MANY:
                return []
            may = {number for numbers in askable(connection, self._runtime.settings, now) for number in numbers}
            for subject_id, source_id, subject in due:
                about = source_id in may and particulars.of_subject(connection, source_id, "payment", subject)
                if about and "account" in about:
                    found.setdefault((source_id, about["account"]), []).append(subject_id)
        return [
            ((asked[source_id], account), ids)
            for (source_id, account), ids in found.items()
            if len(ids) >= MANY and self._not_before.get((source_id, account), now) <= now
        ]

    def _check(self, source: SourceRecord, account: str, subject_ids: Sequence[int]) -> int:
        # The leases come first: what is claimed after that is asked for once more.
        dues = self._claim(subject_ids)
        reading = Reading()
        spent: BudgetSpent | None = None
        try:
            self._read(source, account, dues, reading)
        except BudgetSpent as error:
            spent = error
        except (BankError, DecryptionFailed) as error:
            words = masked_in(str(error), account)
            log.info("%s: asking for an account's payments in bulk: %s", source.name, words)
        except StoreUnavailable:
            raise
        except Exception:
            # A fault of ours, which whatever the bank has answered has brought to light: each can be asked for alone.
            log.exception("%s: asking for an account's payments in bulk failed", source.name)
        left = self._record(source, dues, reading)
        done = len(dues) - len(left)
        if spent is None:
            self._give_back(left)
        else:
            self._reconciler.put_off(source, left, spent)
        # Where not even a page was to be had nobody knows what it would have saved.
        if done < SAVED * max(reading.pages, 1) and (spent is None or reading.pages):
            since = self._runtime.clock() if spent is None else spent.until
            self._not_before[source.id, account] = since + NOT_FOR
        return done

    def _claim(self, subject_ids: Sequence[int]) -> list[Due]:
        now = self._runtime.clock()
        lease = Lease(now, now + self._lease, secrets.token_hex(8))
        with self._runtime.database.write() as connection:
            claimed = [leases.claim_one(connection, subject_id, lease) for subject_id in sorted(subject_ids)]
        return [due for due in claimed if due is not None]

    def _read(self, source: SourceRecord, account: str, dues: Sequence[Due], reading: Reading) -> None:
        """Read an account's list until all are known, it ends, or single questions were as cheap.

        Raises:
            BankError
            BudgetSpent
            StoreUnavailable
            DecryptionFailed
        """
        session = BankSession(self._runtime, source, Purpose.RECHECK)
        bank = session.bank
        place: str | None = None
        wanted = {due.subject for due in dues}
        most = min(len(dues) // SAVED, PAGES_MAX)
        while isinstance(bank, AnswersInBulk) and reading.pages < most and not all(map(reading.is_known, wanted)):
            page = session.ask(_question(bank, account, place))
            reading.add(page.answers)
            place = page.next
            if place is None:
                reading.is_whole = True
                return

    def _record(self, source: SourceRecord, dues: Sequence[Due], reading: Reading) -> list[Due]:
        """Write down what was answered; return what was not."""
        return [due for due in dues if not self._is_recorded(source, due, reading.answer(due.subject))]

    def _is_recorded(self, source: SourceRecord, due: Due, answer: Answer | None) -> bool:
        if answer is None:
            return False
        with apart_from_others(f"checking {due.kind} {due.subject} in bulk"):
            self._reconciler.record(source, due, Finding("answered", answer, answer.detail))
            return True
        return False

    @retried
    def _give_back(self, dues: Sequence[Due]) -> None:
        """Give back what was not answered, as long due as it was."""
        with self._runtime.database.write() as connection:
            leases.give_back(connection, dues)


def _answers_in_bulk(source: SourceRecord) -> bool:
    return source.may_be_asked and isinstance(banks.named(source.bank), AnswersInBulk)


def _question(bank: AnswersInBulk, account: str, place: str | None) -> Callable[[HttpClient], AnswerPage]:
    return lambda client: bank.answer_page(client, account, place)
