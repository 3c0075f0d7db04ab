"""The state of the bank: clients, keys, payments, accounts, jobs and subscriptions, and the callbacks about them."""

import math
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, cast, get_args

from werkzeug.wrappers import Response

from receiver.simulator.bank import FixedWindow, SimulatedBank, current_bank
from receiver.simulator.bcb.callbacks import KeyRing, SignedMessage, Signer, Stamp, forger, hmac_signer, rsa_signer
from receiver.simulator.bcb.clients import Client, CredentialAnswers
from receiver.simulator.bcb.config import Config, ErrorShape, Method
from receiver.simulator.bcb.payments import SUBSCRIPTION_ID, Account, Entry, Job, JobPlan, Payment
from receiver.simulator.json_bodies import RetryAfterForm, dumps, json_answer
from receiver.simulator.outbox import REPEATED, Callback, Delivery, Message, Sending
from receiver.simulator.scripts import Clock, Registry, Sleep

OTHER_BODY = "other-body"


@dataclass(frozen=True)
class Subscription:
    """A request for callbacks about a topic; its field names are not published."""

    subscription_id: str
    topic: str
    callback_url: str
    is_active: bool = True

    def as_json(self) -> dict[str, object]:
        """Return the subscription as the bank shows it."""
        return {
            "subscriptionId": self.subscription_id,
            "topic": self.topic,
            "callbackUrl": self.callback_url,
            "isActive": self.is_active,
        }


class Bank(SimulatedBank[Config]):
    """All that the bank knows, and the limits on requests."""

    error_shapes = get_args(ErrorShape)
    repeating = frozenset({REPEATED, OTHER_BODY})

    def __init__(self, config: Config, clock: Clock, sleep: Sleep) -> None:
        """Set the bank up, with its one client and its accounts."""
        super().__init__(config, clock, sleep)
        self.clients = {config.client_id: Client.first(config)}
        self.credentials = CredentialAnswers()
        self.keys = KeyRing()
        self.payments: Registry[Payment] = Registry()
        self.jobs: Registry[Job] = Registry()
        self.job_plan = JobPlan(config.job_script)
        self.requests_limit = FixedWindow(clock)
        self.creations_limit = FixedWindow(clock)
        self._entries: list[Entry] = []
        self._accounts = {number: Account(number, "USD") for number in config.accounts}
        self._subscriptions: dict[str, Subscription] = {}
        self._lock = threading.Lock()

    @property
    def client(self) -> Client:
        """The client that the bank was started with; its secret signs the callbacks."""
        return self.clients[self.config.client_id]

    def replace_client(self, client: Client) -> None:
        """Put another state of a client in the place of the one with its id."""
        with self._lock:
            self.clients[client.client_id] = client

    def add_payment(self, payment: Payment) -> None:
        """Take up a payment, or replace the one with its id, and open its account where there is none."""
        with self._lock:
            self._accounts.setdefault(payment.account, Account(payment.account, payment.currency))
        self.payments.put(payment.transaction_id, payment)

    def accounts(self) -> list[Account]:
        """Return every account, in the order in which they were opened."""
        with self._lock:
            return list(self._accounts.values())

    def account(self, number: str) -> Account | None:
        """Return an account by its number."""
        with self._lock:
            return self._accounts.get(number)

    def payments_of(self, account: Account) -> list[tuple[Payment, str]]:
        """Return an account's payments that the bank knows now, each with its status, oldest first."""
        known = self.payments.known(self.clock())
        return [(payment, status) for payment, status in known if payment.account == account.number]

    def add_entry(self, entry: Entry) -> None:
        """Enter something on an account that is no payment, or is one once more."""
        with self._lock:
            self._accounts.setdefault(entry.account, Account(entry.account, "USD"))
            self._entries.append(entry)

    def transactions(self, account: Account, first: date, last: date) -> list[object]:
        """Return an account's entries of the days from `first` to `last` (UTC), as the bank shows them."""
        with self._lock:
            entries = [entry for entry in self._entries if entry.account == account.number]
        paid = [payment for payment, _ in self.payments_of(account)]
        entries += [Entry(account.number, payment.started, payment.as_transaction()) for payment in paid]
        found = [entry for entry in entries if first <= entry.posted.date() <= last]
        found.sort(key=lambda entry: entry.posted, reverse=self.config.transactions_order == "newest")
        shown = [entry.shown for entry in found]
        return self.as_it_moves(account.number, shown, self.config.moving_rows)

    def create_job(self, total: int, callback_url: str | None, custom_headers: Mapping[str, str]) -> Job:
        """Start a job of `total` items that goes as is planned."""
        plan = self.job_plan
        made = Job(
            str(uuid.uuid4()),
            plan.script,
            self.clock(),
            plan.results(total),
            plan.result_as_text,
            plan.method,
            callback_url,
            dict(custom_headers),
        )
        self.jobs.put(made.job_id, made)
        return made

    def subscribe(self, topic: str, callback_url: str) -> Subscription:
        """Register an address for a topic."""
        subscription = Subscription(str(uuid.uuid4()), topic, callback_url)
        with self._lock:
            self._subscriptions[subscription.subscription_id] = subscription
        return subscription

    def subscriptions(self) -> list[Subscription]:
        """Return the subscriptions, oldest first."""
        with self._lock:
            return list(self._subscriptions.values())

    def subscription(self, subscription_id: str) -> Subscription | None:
        """Return one subscription."""
        with self._lock:
            return self._subscriptions.get(subscription_id)

    def deactivate(self, subscription_id: str) -> Subscription | None:
        """Send no more for a subscription; none where there is no such one."""
        with self._lock:
            found = self._subscriptions.get(subscription_id)
            if found is not None:
                found = self._subscriptions[subscription_id] = replace(found, is_active=False)
            return found

    def deposit_message(self, payment: Payment, **signed: Any) -> SignedMessage:
        """Return the notification of a deposit, for the newest active subscription to deposits where there is one.

        Where all are inactive it is for the newest of them, and is not sent. `signed` are fields of the message about
        its signature.
        """
        found = [subscription for subscription in self.subscriptions() if subscription.topic == "Deposits"]
        if not found:
            return SignedMessage(payment.transaction_id, payment.as_deposit(SUBSCRIPTION_ID), **signed)
        chosen = ([subscription for subscription in found if subscription.is_active] or found)[-1]
        return SignedMessage(
            payment.transaction_id,
            payment.as_deposit(chosen.subscription_id),
            callback_url=chosen.callback_url,
            subscription_id=chosen.subscription_id,
            **signed,
        )

    def is_wanted(self, message: Message, sending: Sending) -> bool:
        """Tell whether the subscription that a message is for is active; an address that is given wants it anyway."""
        subscription_id = message.subscription_id if isinstance(message, SignedMessage) else None
        subscription = None if subscription_id is None else self.subscription(subscription_id)
        return sending.url is not None or subscription is None or subscription.is_active

    def job_message(self, job: Job, **signed: Any) -> SignedMessage:
        """Return the webhook that says how a job stands, its custom headers echoed; `signed` as for a deposit."""
        headers = {**job.custom_headers, **signed.pop("custom_headers", {})}
        method = signed.pop("method", None) or job.method
        text = dumps(job.as_json(self.clock()))
        return SignedMessage(
            job.job_id, text, callback_url=job.callback_url, method=method, custom_headers=headers, **signed
        )

    def announce_changes(self) -> None:
        """Send the webhook of each job that has ended and has an address."""
        now = self.clock()
        finished = {job.job_id: job for job, _ in self.jobs.take_changes(now) if job.finished(now)}
        for job in finished.values():
            if job.callback_url is not None:
                self.outbox.spawn([self.job_message(job)])

    def repeatable(self, earlier: Delivery, message: Message) -> bool:
        """Tell whether an earlier delivery was about the same subject and rightly signed, at whatever time."""
        return earlier.message.subject == message.subject and earlier.sending.variant not in ("forged", "unsigned")

    def compose(self, message: Message, sending: Sending, url: str) -> Callback:
        """Return a message signed, or spoilt as the variant says."""
        signed = message if isinstance(message, SignedMessage) else SignedMessage(**vars(message))
        method = signed.method or self.config.signing_method
        stamp = signed.stamp
        if sending.variant == OTHER_BODY:
            headers = self.outbox.earlier(message).headers
            stamp, method = Stamp.of(headers), "rsa" if "Bcb-Signature-Version" in headers else "hmac"
        elif sending.variant == "stale":
            stamp = Stamp.at(self.clock() - timedelta(seconds=signed.age_seconds))
        signer = self._signer(method, sending.variant)
        fresh = self.config.fresh_each_try if signed.fresh_each_try is None else signed.fresh_each_try
        if stamp is None and not fresh:
            stamp = Stamp.at(self.clock())
        return Callback(signed.packed(), lambda: signed.headers(signer, stamp or Stamp.at(self.clock()), url))

    def render_error(self, status: int, error: str, message: str, shape: str) -> Response:
        """Return an error in one of the three shapes that the bank is known to use."""
        return _error(status, error, message, shape, None)

    def too_many(self, seconds: float, shape: str | None = None, form: RetryAfterForm = "minutes") -> Response:
        """Return a 429 that says to come back in `seconds`; the header `Retry-After` has whole seconds."""
        later = {
            "minutes": f"{max(1, math.ceil(seconds / 60))} minute(s)",
            "iso": (self.clock() + timedelta(seconds=seconds)).isoformat(),
            "absent": None,
        }[form]
        text = "You have exceeded the request limit. Please wait for the rate limit to reset."
        answer = _error(429, "Rate limit exceeded", text, shape or self.usual_shape(), later)
        if form != "absent":
            answer.headers["Retry-After"] = str(math.ceil(seconds))
        return answer

    def _signer(self, method: Method, variant: str) -> Signer | None:
        if variant == "unsigned":
            return None
        if method == "rsa":
            key = self.keys.current()
            genuine = rsa_signer(key.private_key, key.signature_version)
        else:
            genuine = hmac_signer(self.client.signing_secret, self.client.secret_encoding)
        return forger(genuine) if variant == "forged" else genuine


def bank() -> Bank:
    """Return the bank that serves the current request."""
    return cast(Bank, current_bank())


def _error(status: int, error: str, message: str, shape: str, retry_after: str | None) -> Response:
    """Return an error; `retry_after` goes into the shapes that are objects."""
    if shape == "string":
        return json_answer(message, status)
    body = {"error": error, "message": message} if shape == "full" else {"error": error}
    return json_answer(body | ({} if retry_after is None else {"retry_after": retry_after}), status)
