"""What `receiver doctor` looks at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver import banks
from receiver.admin import conflicts, credentials, refusals, source_changes, standing, subscriptions, sweeps
from receiver.admin.secrets import sharing
from receiver.bank_client.circuit import words_of
from receiver.bank_client.session import BankSession, BudgetSpent, budget_of, spent_of
from receiver.banks import tls
from receiver.banks.abilities import KeepsAccounts, PresentsCertificate
from receiver.banks.callback import LEAVES_OPEN, strongest_proof
from receiver.banks.errors import (
    BankError,
    CertificateRefused,
    CertificateUnusable,
    Forbidden,
    PasscodeWrong,
    TokenRefused,
    Unreachable,
)
from receiver.credentials import outcomes
from receiver.credentials.outcomes import BankWithoutCredentials, CredentialsError
from receiver.credentials.rotation import CredentialChanges
from receiver.model import NotPossible, Purpose
from receiver.reconcile.give_up import give_up
from receiver.retention import policy
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import circuits, credential_changes, held_back, late, public_keys, signing_secrets, workers
from receiver.store.database import StoreUnavailable, check_writable, retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.signing_secrets import OpenSecret
from receiver.store.sources import SourceRecord
from receiver.worker.watches import quiet_warning

WEAK = "secret_weak"

CLOCK_SECONDS_MAX = 60
"""The signatures' window is 300 s: a clock that is off by a fifth of it is worth a word."""


AT_FAULT: tuple[tuple[type[BankError], str, str], ...] = (
    (PasscodeWrong, "passcode", ""),
    (CertificateUnusable, "certificate", ""),
    (CertificateRefused, "certificate", ""),
    (TokenRefused, "user", "the bank does not accept user name and password: "),
    (Forbidden, "address", "this machine's address is not on the bank's list, or the user may not do this: "),
    (Unreachable, "network", "the bank can't be reached: "),
    (BankError, "bank", ""),
)
"""Which part of logging in at a bank behind mutual TLS an error points at; the first that fits."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `state` is `ok`, `warn` or `fail`."""

    state: str
    what: str
    text: str


def examine(runtime: Runtime, source_name: str | None = None) -> Iterator[Finding]:
    """Look at everything, or at what one source needs; asks each bank for a token, its time and its keys.

    Raises:
        NotFound: there is no source of this name.
        NotPossible: it was removed.
    """
    try:
        check_writable(runtime.database)
        yield Finding("ok", "database", "migrated, and can be written")
        yield from _reached(runtime)
    except StoreUnavailable as error:
        yield Finding("fail", "database", str(error))
        return
    with runtime.database.read() as connection:
        known = standing.chosen(connection, source_name)
        seen_at = workers.last_seen(connection)
    yield _worker(seen_at, runtime.clock())
    if not known:
        yield Finding("warn", "sources", "there is none; add one with `receiver source add NAME --bank BANK`")
    for source in known:
        if missing := banks.missing_bank(source):
            yield Finding("fail", f"{source.name} bank", missing)
            continue
        yield from _change(runtime, source)
        if source.enabled:
            yield from _source(runtime, source)
        else:
            yield Finding("warn", source.name, "disabled; its callbacks get 404")
    if source_name is None:
        yield from _conflicts(runtime)
        yield from _idle_consumers(runtime)


def _worker(seen_at: datetime | None, now: datetime) -> Finding:
    if seen_at is None:
        return Finding("warn", "worker", "none was ever at work here: no payment is checked (`receiver worker`)")
    words = f"last seen {seen_at:%Y-%m-%d %H:%M:%S} UTC"
    if workers.is_there(seen_at, now):
        return Finding("ok", "worker", words)
    return Finding("warn", "worker", f"{words}: is one running?")


def _conflicts(runtime: Runtime) -> Iterator[Finding]:
    """List events that were told with other content where the contents differ in money."""
    try:
        found = conflicts.look(runtime)
    except DecryptionFailed as error:
        yield Finding("fail", "conflicts", str(error))
        return
    for conflict in found.in_money:
        contents = "; ".join(f"{content.money} in {content.delivery_id}" for content in conflict.contents)
        text = f"{conflict.event.id} ({conflict.event.subject or 'no subject'}): {contents}"
        ending = ": would be events of their own today, look at both" if conflict.are_two else ""
        yield Finding("warn", f"{conflict.event.source} conflict", text + ending)
    if found.unreadable:
        yield Finding(
            "warn", "conflicts", f"{found.unreadable} could not be looked into: no key, no bank, or too large"
        )
    if found.has_more:
        yield Finding(
            "warn", "conflicts", f"only the newest {found.looked_at} events with other content were looked at"
        )
    elif found.looked_at and not found.in_money:
        yield Finding("ok", "conflicts", f"{found.looked_at} events have other content, none of them in money")


def _idle_consumers(runtime: Runtime) -> Iterator[Finding]:
    """Name the consumers that nobody uses: what they have not read may be removed for its age."""
    since = policy.idle_since(runtime.settings, runtime.clock())
    with runtime.database.read() as connection:
        idle = held_back.idle_consumers(connection, since)
    if idle:
        words = f"idle for {runtime.settings.consumer_idle_days} days and more, so they hold nothing back: "
        yield Finding("warn", "consumers", f"{words}{', '.join(idle)}; remove one that is not used")


def _reached(runtime: Runtime) -> Iterator[Finding]:
    """How the database is reached: a pooler's sessions, or a file that others may read."""
    if notice := runtime.database.notice:
        yield Finding("warn", "database sessions", notice)
    if readable := runtime.database.readable_by_others():
        yield Finding("warn", "database file", f"others may read it: chmod 600 {readable}")


def _source(runtime: Runtime, source: SourceRecord) -> Iterator[Finding]:
    try:
        with runtime.database.read() as connection:
            secrets = signing_secrets.valid(connection, runtime.encryption, source.id, runtime.clock())
    except DecryptionFailed as error:
        yield Finding("fail", f"{source.name} secrets", str(error))
        return
    bank = banks.named(source.bank)
    if malformed := [str(secret.version) for secret in secrets if _fault(source, secret.text) not in (None, WEAK)]:
        text = f"of no use with the source's options, such as encoding: {', '.join(malformed)}"
        yield Finding("fail", f"{source.name} secrets", text)
    elif not bank.needs_secret(source.options):
        yield Finding("ok", f"{source.name} secrets", "none needed")
    elif secrets:
        yield Finding("ok", f"{source.name} secrets", f"{len(secrets)} valid, the current one is {secrets[0].version}")
    else:
        yield Finding("fail", f"{source.name} secrets", f"none; run `receiver secret set {source.name}`")
    yield from _weaknesses(runtime, source, secrets)
    proof = strongest_proof(bank.proofs(source.options))
    if proof not in ("signature", "encryption"):
        state = "ok" if proof == "token" else "warn"
        yield Finding(state, f"{source.name} proof", f"{proof} only; it leaves open: {LEAVES_OPEN[proof]}")
    with runtime.database.read() as connection:
        quiet = quiet_warning(connection, source, runtime.clock())
        waiting = late.waiting(connection, source.id)
        clock = give_up(connection, source, runtime.clock())
    if quiet:
        yield Finding("warn", f"{source.name} callbacks", quiet)
    if refused := refusals.warning(runtime, source):
        yield Finding("warn", f"{source.name} refused", refused)
    if clock is not None:
        state = "fail" if clock.is_near(runtime.clock()) else "warn"
        since = f"{clock.number} callbacks were not taken since {clock.first_at:%Y-%m-%d %H:%M} UTC"
        yield Finding(state, f"{source.name} gives up", f"the bank stops sending {clock.words}: {since}")
    if waiting:
        text = f"{waiting} wait for the bank, or for a person: see `receiver deliveries list --verdict late`"
        yield Finding("warn", f"{source.name} late deliveries", text)
    if not bank.credential_names:
        yield Finding("ok", f"{source.name} bank", "it has no API; nothing it tells is checked")
    elif source.has_credentials:
        yield from _bank(runtime, source)
        for words in sweeps.faults(runtime, source):
            yield Finding("warn", f"{source.name} sweep", f"a list can't be read: {words}")
        yield _requests(runtime, source)
    else:
        yield Finding("warn", f"{source.name} bank", "no API credentials, so its payments can't be checked")


def _fault(source: SourceRecord, secret: str) -> str | None:
    """Return why a secret would not be taken today; none where it would be."""
    try:
        banks.named(source.bank).check_secret(secret, source.options)
    except Refusal as refusal:
        return refusal.reason
    return None


def _weaknesses(runtime: Runtime, source: SourceRecord, secrets: Sequence[OpenSecret]) -> Iterator[Finding]:
    """Name what an earlier release took, and what works on, though it would be refused today."""
    usable = {secret.version: secret.text for secret in secrets if _fault(source, secret.text) in (None, WEAK)}
    if weak := [str(version) for version, text in usable.items() if _fault(source, text) == WEAK]:
        words = f"short enough to be guessed: {', '.join(weak)}; ask the bank for another one"
        yield Finding("warn", f"{source.name} secrets", words)
    now = runtime.clock()
    with runtime.database.read() as connection:
        shared = {version: sharing(connection, runtime.encryption, source, usable[version], now) for version in usable}
    for version, others in shared.items():
        if others:
            words = f"{version} is one of {', '.join(others)} too: each callback of the one is new at the other"
            yield Finding("warn", f"{source.name} secrets", f"{words}; ask the bank for a secret of its own")
    for words in source_changes.outdated(source):
        yield Finding("warn", f"{source.name} options", f"{words}. Put it right with `receiver source set`")


def _bank(runtime: Runtime, source: SourceRecord) -> Iterator[Finding]:
    session = BankSession(runtime, source, Purpose.PERSON)
    with runtime.database.read() as connection:
        stands = standing.of_source(connection, runtime.settings, source, runtime.clock())
        circuit = circuits.find(connection, source.id)
        hindrance = budget_of(connection, source, runtime.clock()).hindrance(source.name)
    if stands.proxy is not None:
        yield Finding("ok", f"{source.name} proxy", f"its API is asked through {stands.proxy} (HTTPS_PROXY, NO_PROXY)")
    if hindrance is not None:
        yield Finding("warn", f"{source.name} limit", hindrance)
    if stands.down_since is not None:
        words = words_of(source, circuit, stands.tried_at or runtime.clock())
        is_tried = stands.tried_at is not None and stands.tried_at == circuit.probing_until
        words += "" if is_tried else "; it is tried now all the same"
        yield Finding("warn", f"{source.name} circuit", words)
    if isinstance(session.bank, PresentsCertificate):
        yield from _certified(runtime, source, session)
        return
    try:
        theirs = session.ask(session.bank.clock)
        yield Finding("ok", f"{source.name} bank", "reached, and the credentials are accepted")
        if theirs is not None:
            off = abs((runtime.clock() - theirs).total_seconds())
            state = "ok" if off <= CLOCK_SECONDS_MAX else "fail"
            yield Finding(state, f"{source.name} clock", f"{off:.0f} s between the bank's clock and this one")
        jwks = session.ask(session.bank.fetch_public_keys) if session.bank.publishes_keys else None
        if jwks is not None:
            _put_keys(runtime, source, jwks)
            yield Finding("ok", f"{source.name} public keys", "fetched")
        yield from _permissions(runtime, source)
        yield from _subscriptions(runtime, source)
    except (BankError, BudgetSpent, DecryptionFailed) as error:
        yield Finding("fail", f"{source.name} bank", str(error))


@retried
def _put_keys(runtime: Runtime, source: SourceRecord, jwks: str) -> None:
    with runtime.database.write() as connection:
        public_keys.put(connection, runtime.encryption, source, runtime.clock(), jwks=jwks, error=None)


def _requests(runtime: Runtime, source: SourceRecord) -> Finding:
    """Say what is left of a source's limit, and what the rest was spent on."""
    with runtime.database.read() as connection:
        stands = budget_of(connection, source, runtime.clock())
        spent = spent_of(connection, source, stands)
    until = f" until {stands.ends_at:%Y-%m-%d %H:%M:%S} UTC" if stands.ends_at else ""
    words = ", ".join(f"{purpose} {number}" for purpose, number in spent.items())
    text = f"{stands.left} of {stands.limit} left{until}" + (f"; spent: {words}" if words else "")
    return Finding("ok", f"{source.name} requests", text)


def _subscriptions(runtime: Runtime, source: SourceRecord) -> Iterator[Finding]:
    """Compare what the bank has with this receiver's own address; that it won't tell stops nothing else.

    Raises:
        BudgetSpent
    """
    what = f"{source.name} subscriptions"
    try:
        for words in subscriptions.faults(runtime, source):
            yield Finding("warn", what, words)
    except BankError as error:
        yield Finding("warn", what, f"can't be looked at: {error}")


def _certified(runtime: Runtime, source: SourceRecord, session: BankSession) -> Iterator[Finding]:
    """Make a real authorization call, with the client certificate, and say what is at fault."""
    name = source.name
    try:
        presented = session.certificate()
        if presented is not None:
            state, text = tls.expiry(presented.leaf(), runtime.clock())
            yield Finding(state, f"{name} certificate", text)
            if state == "fail":
                return
        session.authorize()
        yield Finding("ok", f"{name} bank", "authorized: certificate, user and password are accepted")
        if isinstance(session.bank, KeepsAccounts):
            number = len(session.ask(session.bank.accounts))
            text = f"{number} can be seen" if number else "the user was granted none"
            yield Finding("ok" if number else "warn", f"{name} accounts", text)
        yield from _subscriptions(runtime, source)
    except BankError as error:
        what, words = next((what, words) for kind, what, words in AT_FAULT if isinstance(error, kind))
        yield Finding("fail", f"{name} {what}", f"{words}{error}")
    except (BudgetSpent, DecryptionFailed) as error:
        yield Finding("fail", f"{name} bank", str(error))


def _change(runtime: Runtime, source: SourceRecord) -> Iterator[Finding]:
    """Finish a change of credentials that was left unfinished; of a disabled source too, as a worker does."""
    with runtime.database.read() as connection:
        change = credential_changes.pending(connection, source.id)
    if change is None:
        return
    try:
        CredentialChanges(runtime).resume(source, change)
        came = f"{outcomes.command(source, change)} tells what came of it"
        text = f"an unfinished change ({change.kind}) is finished now; {came}"
        yield Finding("ok", f"{source.name} credentials", text)
    except (CredentialsError, DecryptionFailed) as error:
        yield Finding("fail", f"{source.name} credentials", str(error))


def _permissions(runtime: Runtime, source: SourceRecord) -> Iterator[Finding]:
    """Compare what the credentials may do with what is needed, where the bank tells.

    Raises:
        BankError
        BudgetSpent
    """
    what = f"{source.name} permissions"
    try:
        found = credentials.permissions(runtime, source.name)
    except BankWithoutCredentials:
        return
    except NotPossible as refused:
        yield Finding("warn", what, f"can't be looked up: {refused}")
        return
    missing = [f"{key} ({found.needed[key]})" for key in found.missing]
    if missing:
        yield Finding("fail", what, f"missing: {', '.join(missing)}; ask the bank to grant them to the client")
    else:
        yield Finding("ok", what, f"all that are needed: {', '.join(found.needed)}")
