"""The closed vocabularies (enums), the root of the exceptions that are expected, and what server and application share.

Each word is a string too (`StrEnum`): it is stored, compared and written as JSON as the text that it stands for. This
module imports nothing of ours, and every room may import it.
"""

from enum import StrEnum

CUT_SHORT = "receiver.cut_short"
"""The key in WSGI's environment (PEP 3333) of a function without arguments: whether our server has stopped reading
the request of its own accord."""


class ReceiverError(Exception):
    """What an operator or caller can do something about: the text is one line, and holds no secret.

    A command that ends with one shows that line. What signals something between our own modules, and is always dealt
    with there, is no such error: where it gets out, that is a bug, and its traceback is wanted.
    """


class Verdict(StrEnum):
    """What became of a delivery."""

    ACCEPTED = "accepted"
    """Proven genuine, and it holds something new."""
    DUPLICATE = "duplicate"
    """Proven genuine, and all of it was known (idempotency)."""
    LATE = "late"
    """Proven genuine, but signed too long ago or ahead: it waits until the bank, or a person, confirms it."""
    REJECTED = "rejected"
    """Not proven genuine."""


class ProofStrength(StrEnum):
    """By what a callback is proven genuine, the strongest first; docs/callbacks.md says what each leaves open."""

    SIGNATURE = "signature"
    ENCRYPTION = "encryption"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    ADDRESS = "address"
    NONE = "none"


class SubjectKind(StrEnum):
    """What an event is about."""

    PAYMENT = "payment"
    JOB = "job"
    """A batch of payments, such as a bulk upload."""
    REFERENCE = "reference"
    """A payment, by another name than its id."""
    NONE = "none"
    """Nothing that the bank can be asked about."""


class Status(StrEnum):
    """How far a payment or job has come, as its bank says it or as a callback claims it."""

    PENDING = "pending"
    COMPLETED = "completed"
    REJECTED = "rejected"
    REVERSED = "reversed"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether the bank is done with it: a final status is not taken back by an older claim."""
        return self not in (Status.PENDING, Status.UNKNOWN)


class Agreement(StrEnum):
    """How what callbacks claim of a payment or job compares with what the bank answers (reconciliation)."""

    UNCONFIRMED = "unconfirmed"
    """The bank has given no final answer yet."""
    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    UNKNOWN_TO_BANK = "unknown_to_bank"


class CredentialChangeKind(StrEnum):
    """What is asked of the bank about a client's API credentials."""

    CREATE = "create"
    ISSUE = "issue"
    """A new client for another app: the source goes on with its own."""
    ROTATE = "rotate"
    DISABLE = "disable"


class CredentialChangeState(StrEnum):
    """How far a change of API credentials has come."""

    PENDING = "pending"
    """The bank may have done it or not."""
    DONE = "done"
    REFUSED = "refused"
    ABANDONED = "abandoned"
    UNDONE = "undone"
    """The source has gone back to the client before it."""


class SecretState(StrEnum):
    """Whether a version of a signing secret still proves callbacks."""

    CURRENT = "current"
    """It has no end yet."""
    VALID = "valid"
    """Until it ends."""
    EXPIRED = "expired"


class Environment(StrEnum):
    """Which of a bank's systems a source talks to."""

    SANDBOX = "sandbox"
    PRODUCTION = "production"


class Scope(StrEnum):
    """What an API token may be used for."""

    EVENTS_READ = "events:read"
    PAYLOADS_READ = "payloads:read"
    FEED_READ = "feed:read"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_CHECK = "payments:check"
    REPLAYS_WRITE = "replays:write"
    EXCEPTIONS_WRITE = "exceptions:write"


class OwnType(StrEnum):
    """Types of feed entries that no callback is behind: what asking the bank has shown."""

    PAYMENT_STATUS_CHANGED = "payment.status_changed"
    PAYMENT_CONTRADICTED = "payment.contradicted"
    PAYMENT_RETURNED = "payment.returned"
    PAYMENT_UNKNOWN_TO_BANK = "payment.unknown_to_bank"
    """Claimed by a callback, but the bank has said for an hour that it does not know of it."""
    PAYMENT_KNOWN_TO_BANK = "payment.known_to_bank"
    """The end of that."""
    PAYMENT_RECOVERED = "payment.recovered"
    """Found by asking the bank: no callback came."""
    JOB_STATUS_CHANGED = "job.status_changed"
    JOB_CONTRADICTED = "job.contradicted"
    JOB_UNKNOWN_TO_BANK = "job.unknown_to_bank"
    JOB_KNOWN_TO_BANK = "job.known_to_bank"
    EXCEPTION_OPENED = "exception.opened"
    """A person has to look at something: opened, or opened anew."""
    EXCEPTION_RESOLVED = "exception.resolved"
    """By a person, or by itself, because it is no longer so."""


class ConsumerAct(StrEnum):
    """What a consumer does with an entry of the feed."""

    READ = "read"
    ACKED = "acked"


class ReplayTarget(StrEnum):
    """Where a replay sends things again."""

    FEED = "feed"
    BANK = "bank"
    VERIFICATION = "verification"


class ReplayState(StrEnum):
    """How far a replay has come."""

    AWAITING_APPROVAL = "awaiting_approval"
    """It is large: nothing is done until a second person approves it (four-eyes principle)."""
    RUNNING = "running"
    PAUSED = "paused"
    """By a person, until one resumes it."""
    DONE = "done"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self in (ReplayState.DONE, ReplayState.CANCELLED)


class RetentionKind(StrEnum):
    """What is removed once it is old enough, each with a number of days of its own; the audit log never is."""

    PAYLOAD = "payload"
    """The bodies of deliveries that were proven genuine."""
    HEADERS = "headers"
    """Their headers; a delivery's body goes before them."""
    REJECTED = "rejected"
    """Rejected deliveries, as a whole."""
    CHECKS = "checks"
    """Questions to banks, and their answers; a payment keeps its status."""
    FEED = "feed"
    """Entries of the feed, from its beginning on."""


class HeldBack(StrEnum):
    """Why something stays though it is old enough to be removed."""

    ON_HOLD = "on_hold"
    """A person holds its event."""
    UNREAD = "unread"
    """A consumer has not acknowledged it."""
    NOT_FINAL = "not_final"
    """The bank has given no final answer about its payment or job."""
    EXCEPTION = "exception"
    """A person has to look at it."""
    WAITING = "waiting"
    """A late or rejected delivery, of which events may still be made; an event of which nothing is derived yet; or a
    body that goes first."""


class ExceptionKind(StrEnum):
    """Why a person has to look at something; more kinds may come, and need no migration."""

    CONTRADICTED = "contradicted"
    """The bank's final answer about a payment or job is another one than what a callback claimed."""
    UNKNOWN_TO_BANK = "unknown_to_bank"
    """A callback claims a payment or job of which the bank has said for an hour that it does not know it."""
    LATE = "late"
    """A delivery was rightly signed, but too long ago or ahead, and waits to be confirmed."""
    CONFLICT = "conflict"
    """The same event came again with other content."""
    REJECTED = "rejected"
    """Deliveries that look like the bank's, well-formed and from an allowed address, were refused for one reason."""
    RECOVERED = "recovered"
    """A sweep found it at the bank, and no callback has come for it."""
    STALLED = "stalled"
    """A payment or job has not come to an end for too long."""
    AMOUNT_DIFFERS = "amount_differs"
    """The bank, or its list of that day, has another amount than the one that a callback claimed."""
    SUBSCRIPTION_INACTIVE = "subscription_inactive"
    """The bank has no active subscription that sends callbacks here."""
    SILENCE = "silence"
    """No callback has come for longer than there should be none."""
    GIVING_UP = "giving_up"
    """The bank soon stops sending, because what it sends is refused or can't be taken."""
    CONSUMER_IDLE = "consumer_idle"
    """An app's consumer did nothing for so long that what it has not read is kept no longer for it."""


class Purpose(StrEnum):
    """What a bank is asked for: by it payments are put in order, and the requests of a window are counted."""

    PERSON = "person"
    """A person wants to know, now."""
    CLAIM = "claim"
    """A callback has named it, and the bank was not asked since."""
    LATE = "late"
    """A late delivery waits for the bank's answer."""
    RECHECK = "recheck"
    """It was asked for before, and its state may have changed."""
    SWEEP = "sweep"
    """What nobody waits for: the bank's own lists, and whether its subscriptions are active."""
    OTHER = "other"
    """All else: public keys, the bank's time, changes of credentials."""


class ExceptionState(StrEnum):
    """How far what a person has to look at has come."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    """Somebody is at it."""
    RESOLVED = "resolved"
    """By a person, or by itself, because it is no longer so."""


class DayCategory(StrEnum):
    """How a line of a bank's list of a business day and our events stand to each other; what differs comes first."""

    AMOUNT_DIFFERS = "amount_differs"
    """The callback's amount or currency is another one than the bank's list has."""
    STATUS_DIFFERS = "status_differs"
    """A callback claims, or a check has found, another final state than the bank's word."""
    OURS_ALONE = "ours_alone"
    """A callback tells of a payment that the bank's list has not."""
    BANK_ALONE = "bank_alone"
    """The bank's list has it, and no event tells of it yet."""
    RECOVERED = "recovered"
    """No callback came: the sweep found it."""
    NOT_FINAL = "not_final"
    """The bank has not said yet what becomes of it."""
    AGREED = "agreed"
    """A callback came, and nothing in it differs."""


class DayState(StrEnum):
    """How far a business day has come."""

    OPEN = "open"
    """It lasts, or the time until it is closed has not passed."""
    INCOMPLETE = "incomplete"
    """It is over, and the bank's list of it has not been read whole."""
    CLOSED = "closed"
    NOT_OFFERED = "not_offered"
    """The bank lists nothing, so nothing can be held against our events."""


class Severity(StrEnum):
    """How much something presses, the most first: by how much money is at stake, or how long it has been open."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Role(StrEnum):
    """What a person may do on the staff pages; each may do what those before it may."""

    VIEWER = "viewer"
    """Look at everything but payloads."""
    OPERATOR = "operator"
    """Replay, accept, acknowledge, put right."""
    APPROVER = "approver"
    """Start large replays that others have asked for."""
    ADMIN = "admin"
    """Look after sources, secrets and people."""

    def includes(self, needed: "Role") -> bool:
        """Whether this role may do what `needed` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


class NotFound(ReceiverError):
    """There is nothing of this name or id (the API's 404)."""


class Gone(ReceiverError):
    """It was there once, and is stored no longer, or can't be opened any more (the API's 410)."""


class NameUnknown(ReceiverError):
    """A name that was given to restrict or address something is none that there is; the text has the nearest one.

    It is wrong use: the API's 400, and exit code 2.
    """


class NameNotThere(NotFound, NameUnknown):
    """There is nothing of a name that an operator has given it; the text has the nearest one (404, and exit code 2)."""


class SourceNotThere(NameNotThere):
    """There is no source of this name."""


class NotPossible(ReceiverError):
    """It can't be done as things stand (the API's 409); the text says what stands in the way."""


REASON_CHARACTERS_MAX = 500


def reason_given(why: str) -> str:
    """Return why somebody does something that takes a reason, without the blanks around it.

    Raises:
        NotPossible: there is none, or it is too long.
    """
    if not why.strip() or len(why) > REASON_CHARACTERS_MAX:
        raise NotPossible(f"give a reason, up to {REASON_CHARACTERS_MAX} characters")
    return why.strip()


def name_to_tell(about: str, name: str) -> str | None:
    """Return the name of what something is about, for what nobody asks for: an alarm; or can take away: the audit log.

    None for a reference, which may be the payer's own words. People and the bank know a payment by it, so all that is
    asked for has it: pages, the API, the feed, an evidence packet.
    """
    return None if about == SubjectKind.REFERENCE else name
