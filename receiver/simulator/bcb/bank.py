"""The state of the bank, all of it in memory."""

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from receiver.simulator.bcb.accounts import Accounts
from receiver.simulator.bcb.clients import Client
from receiver.simulator.bcb.credentials import CredentialsDesk
from receiver.simulator.bcb.jobs import Job, JobPlan, Jobs, results
from receiver.simulator.bcb.keys import KeyRing
from receiver.simulator.bcb.payments import Payment, Payments
from receiver.simulator.bcb.signatures import HmacSigner, RsaSigner, Signer
from receiver.simulator.bcb.tokens import Tokens
from receiver.simulator.clock import Clock, utc_now
from receiver.simulator.config import Method, SimulatorConfig
from receiver.simulator.limits import FixedWindow


@dataclass(frozen=True)
class Subscription:
    """A wish to be told about a topic; its field names are not published."""

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


class Bank:
    """Clients, tokens, keys, payments, accounts, jobs and subscriptions, and the limits on requests."""

    def __init__(self, config: SimulatorConfig, clock: Clock = utc_now) -> None:
        self.config = config
        self.clock = clock
        first = Client.first(config)
        self.clients = {first.client_id: first}
        self.credentials = CredentialsDesk()
        self.tokens = Tokens(clock, config.token_lifetime_seconds)
        self.keys = KeyRing()
        self.payments = Payments()
        self.accounts = Accounts(config.accounts, self.payments)
        self.jobs = Jobs()
        self.requests_limit = FixedWindow(clock, config.rate_limit, config.rate_window_seconds)
        gap = config.virtual_account_gap_seconds
        self.creations_limit = FixedWindow(clock, 1 if gap else 0, gap)
        self._job_plan = JobPlan(config.job_script, method=config.signing_method)
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

    def signer(self, method: Method) -> Signer:
        """Return what signs callbacks now."""
        if method == "rsa":
            key = self.keys.current()
            return RsaSigner(key.private_key, key.signature_version)
        return HmacSigner(self.client.signing_secret, self.client.secret_encoding)

    def book(self, payment: Payment) -> None:
        """Take up a payment, or replace the one with its id, and open its account where needed."""
        self.accounts.open(payment.account, payment.currency)
        self.payments.put(payment)

    @property
    def job_plan(self) -> JobPlan:
        """How jobs that are created from now on will go."""
        return self._job_plan

    def plan_jobs(self, plan: JobPlan) -> None:
        """Let jobs that are created from now on go another way."""
        self._job_plan = plan

    def create_job(self, total: int, callback_url: str | None, custom_headers: Mapping[str, str]) -> Job:
        """Start a job of `total` items."""
        made = results(total, self._job_plan)
        job = Job(str(uuid.uuid4()), self._job_plan, made, self.clock(), callback_url, dict(custom_headers))
        self.jobs.put(job)
        return job

    def subscribe(self, topic: str, callback_url: str) -> Subscription:
        """Register an address for a topic."""
        subscription = Subscription(str(uuid.uuid4()), topic, callback_url)
        with self._lock:
            self._subscriptions[subscription.subscription_id] = subscription
        return subscription

    def subscriptions(self, topic: str | None = None) -> list[Subscription]:
        """Return the subscriptions, or those to one topic, oldest first."""
        with self._lock:
            return [found for found in self._subscriptions.values() if topic is None or found.topic == topic]

    def subscription(self, subscription_id: str) -> Subscription | None:
        """Return one subscription."""
        with self._lock:
            return self._subscriptions.get(subscription_id)
