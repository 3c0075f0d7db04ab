"""Tells the client what happened: deposits on demand, and jobs once they have ended."""

import threading
from collections import deque
from dataclasses import replace

from receiver.simulator.bcb.bank import Bank
from receiver.simulator.bcb.deposits import SUBSCRIPTION_ID, Deposit
from receiver.simulator.bcb.dispatches import REPEATS, Dispatch, Record
from receiver.simulator.bcb.jobs import Job
from receiver.simulator.bcb.sender import Delivery, Sender, SendOptions
from receiver.simulator.clock import Sleep
from receiver.simulator.config import Method
from receiver.simulator.courier import Courier
from receiver.simulator.json_text import dumps
from receiver.simulator.scripts import Script

RECORDS_MAX = 500

_POLL_SECONDS = 0.02


class NothingToSendError(Exception):
    """The notification can't be sent; the text says why."""


class Notifier:
    """Sends for one bank, and remembers the last deliveries."""

    def __init__(self, bank: Bank, sleep: Sleep) -> None:
        self._bank = bank
        config = bank.config
        self._courier = Courier(bank.clock, sleep, config.callback_timeout_seconds, config.verify_tls)
        self._records: deque[Record] = deque(maxlen=RECORDS_MAX)
        self._lock = threading.Lock()

    def records(self) -> list[Record]:
        """Return the last deliveries, oldest first."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Forget the deliveries; none can be sent again then."""
        with self._lock:
            self._records.clear()

    def options(self) -> SendOptions:
        """Return how genuine callbacks are sent by default."""
        return SendOptions(fresh_each_try=self._bank.config.fresh_each_try, delays=self._bank.config.retry_delays)

    def address(self, subject: str, dispatch: Dispatch) -> str:
        """Return where a notification about `subject` (a transaction's or a job's id) will go.

        Raises:
            NothingToSendError: where there is no address, or no earlier delivery to send again.
        """
        if dispatch.variant in REPEATS:
            return dispatch.url or self._earlier(subject).url
        job = self._bank.jobs.get(subject)
        registered = job.callback_url if job else self._subscription()[0]
        address = dispatch.url or registered or self._bank.config.callback_url
        if address is None:
            raise NothingToSendError("no callback url: none is configured, subscribed or given")
        return address

    def deposit(self, deposit: Deposit, dispatch: Dispatch | None = None, script: Script | None = None) -> Record:
        """Book the deposit and tell the client; return once that is accepted or given up.

        A payment that the bank knows already keeps its status, unless a script is given. Forged and unsigned callbacks
        tell of payments that the bank knows nothing of, likewise unless a script is given.

        Raises:
            NothingToSendError: as `address`.
        """
        dispatch = dispatch or Dispatch()
        self.address(deposit.transaction_id, dispatch)
        self._book(deposit, dispatch, script)
        return self._send(deposit.transaction_id, deposit.body(self._subscription()[1]), dispatch)

    def job(self, job: Job, dispatch: Dispatch | None = None) -> Record:
        """Tell the client how a job stands, its custom headers echoed.

        Raises:
            NothingToSendError: as `address`.
        """
        dispatch = dispatch or Dispatch()
        options = replace(dispatch.options or self.options(), custom_headers=job.custom_headers)
        dispatch = replace(dispatch, method=dispatch.method or job.plan.method, options=options)
        return self._send(job.job_id, dumps(job.as_json(self._bank.clock())).encode(), dispatch)

    def watch_jobs(self, stopping: threading.Event) -> None:
        """Tell of each job that ends and has an address, until `stopping` is set; to be run in a thread of its own."""
        while not stopping.wait(_POLL_SECONDS):
            for job in self._bank.jobs.take_finished(self._bank.clock()):
                if job.callback_url is not None:
                    threading.Thread(target=self.job, args=(job,), name="job-webhook", daemon=True).start()

    def _book(self, deposit: Deposit, dispatch: Dispatch, script: Script | None) -> None:
        known = self._bank.payments.get(deposit.transaction_id)
        if script is None and (known or dispatch.variant in ("forged", "unsigned")):
            return
        script, now = script or self._bank.config.payment_script, self._bank.clock()
        self._bank.book(known.restarted(script, now) if known else deposit.payment(script, now))

    def _send(self, subject: str, body: bytes, dispatch: Dispatch) -> Record:
        sender = self._sender(self.address(subject, dispatch), dispatch.method, dispatch.signed_path)
        if dispatch.variant in REPEATS:
            delivery = dispatch.repeat(sender, self._earlier(subject), body)
        else:
            delivery = dispatch.send(sender, body)
        record = Record(subject, dispatch.variant, self._bank.clock(), delivery)
        with self._lock:
            self._records.append(record)
        return record

    def _sender(self, url: str, method: Method | None, signed_path: str | None) -> Sender:
        signer = self._bank.signer(method or self._bank.config.signing_method)
        return Sender(url, signer, courier=self._courier, options=self.options(), signed_path=signed_path)

    def _earlier(self, subject: str) -> Delivery:
        for record in reversed(self.records()):
            if record.subject == subject and record.repeatable:
                return record.delivery
        raise NothingToSendError(f"no genuine delivery about {subject!a} to repeat")

    def _subscription(self) -> tuple[str | None, str]:
        """Return the address and the id of the newest subscription to deposits, where there is one."""
        subscribed = self._bank.subscriptions("Deposits")
        return (subscribed[-1].callback_url, subscribed[-1].subscription_id) if subscribed else (None, SUBSCRIPTION_ID)
