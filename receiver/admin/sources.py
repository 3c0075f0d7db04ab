"""Bank relations (sources): add them, switch them on and off, give them credentials, register them at their bank."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from receiver import banks
from receiver.admin.audit import note
from receiver.admin.names import no_such
from receiver.bank_client.session import BankSession
from receiver.banks import tls
from receiver.banks.abilities import PresentsCertificate
from receiver.banks.errors import CertificateUnusable, masked
from receiver.banks.protocol import Bank, OptionsWrong
from receiver.credentials import outcomes
from receiver.model import Environment, NotPossible, Purpose, ReceiverError, SourceNotThere
from receiver.runtime import Runtime
from receiver.store import (
    audit,
    bank_tokens,
    credential_changes,
    destinations,
    events,
    public_keys,
    signing_secrets,
    sources,
)
from receiver.store.credential_changes import ChangeRecord
from receiver.store.database import retried
from receiver.store.public_keys import StoredKeys
from receiver.store.records import SKEW
from receiver.store.signing_secrets import SecretVersion
from receiver.store.sources import SourceRecord

ENVIRONMENTS = tuple(str(environment) for environment in Environment)

ORIGIN = re.compile(r"https://[^/?#\s@]+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?")


class BaseUrlWrong(OptionsWrong):
    """The address of a bank's API is none."""


class BaseUrlMissing(OptionsWrong):
    """The address of a bank's API has to be given, since the bank's own for that environment is not known."""


class OriginWrong(ReceiverError):
    """The address at which banks are to reach this receiver is none, or has a path."""


class CredentialsIncomplete(ReceiverError):
    """API credentials that the bank needs are missing. The text holds names alone, never a value."""


@dataclass(frozen=True)
class NewSource:
    """What a person says of a source to be added; `options` are as they were typed."""

    name: str
    bank: str
    environment: str = "sandbox"
    base_url: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceDetails:
    """A source with the state of all that proves its callbacks; none of its secrets."""

    source: SourceRecord
    proofs: Sequence[str]
    """By what its callbacks are proven, the strongest first; not said of a bank that this release does not know."""
    secrets: Sequence[SecretVersion]
    public_keys: StoredKeys
    latest_event_at: datetime | None
    """In UTC; none before its first event. What a clock that was ahead has dated does not count."""


@dataclass(frozen=True)
class Registration:
    """What a bank was told of where a source's callbacks go, and what it answered, without the source's secrets."""

    address: str
    """Without what follows the source's own path, which may be secret."""
    has_further_path: bool
    bank_says: str


def named(connection: Connection, name: str) -> SourceRecord:
    """Return the source of this name, enabled or not, removed or not.

    Raises:
        SourceNotThere
    """
    found = sources.find(connection, name)
    if found is None:
        known = [source.name for source in sources.shown(connection)]
        raise SourceNotThere(f"there is no source {no_such(name, known)}")
    return found


def check_bank(source: SourceRecord) -> None:
    """Accept a source whose bank this release knows.

    Raises:
        NotPossible
    """
    if missing := banks.missing_bank(source):
        raise NotPossible(missing)


def in_use(connection: Connection, name: str) -> SourceRecord:
    """Return the source of this name, enabled or not, to be changed or asked for.

    Raises:
        NotFound
        NotPossible: it was removed.
    """
    found = named(connection, name)
    if found.hidden_at is not None:
        raise NotPossible(f"source {name} was removed at {found.hidden_at:%Y-%m-%d %H:%M} UTC; add one of another name")
    return found


def locked(connection: Connection, name: str) -> SourceRecord:
    """Return a source as it stands now, if it is in use, and make other writers about it wait for this transaction.

    Raises:
        NotFound
        NotPossible: it was removed.
    """
    in_use(connection, name)
    found = destinations.locked(connection, name)
    if found is None or found.hidden_at is not None:
        raise NotPossible(f"source {name} was removed meanwhile")
    return found


def find(runtime: Runtime, name: str) -> SourceRecord:
    """Return the source of this name, enabled or not, to be changed or asked for.

    Raises:
        NotFound
        NotPossible: it was removed.
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return in_use(connection, name)


def listing(runtime: Runtime) -> list[SourceRecord]:
    """Return the sources that were not removed, by name.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return sources.shown(connection)


def details(runtime: Runtime, name: str) -> SourceDetails:
    """Return a source with its proofs, the versions of its secret, its public keys and the time of its latest event.

    Raises:
        NotFound
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        source = named(connection, name)
        return SourceDetails(
            source=source,
            proofs=() if banks.missing_bank(source) else banks.named(source.bank).proofs(source.options),
            secrets=signing_secrets.versions(connection, source.id),
            public_keys=public_keys.stored(connection, runtime.encryption, source),
            latest_event_at=events.latest(connection, source.id, runtime.clock() + SKEW),
        )


def check(new: NewSource) -> dict[str, Any]:
    """Return a new source's options as they are to be stored; its name is looked at when it is added.

    Raises:
        BankNotKnown
        OptionsWrong: `BaseUrlWrong` or `BaseUrlMissing` where it is the address of the API.
    """
    bank = banks.named(new.bank)
    options = bank.check_options(new.options)
    if new.environment not in ENVIRONMENTS:
        raise OptionsWrong(f"an environment is one of {', '.join(ENVIRONMENTS)}, not {new.environment!r}")
    try:
        if new.base_url is not None:
            bank.check_base_url(new.base_url)
    except OptionsWrong as error:
        raise BaseUrlWrong(str(error)) from error
    if new.base_url is None and bank.credential_names and new.environment not in bank.hosts:
        raise BaseUrlMissing(f"where {bank.name} has its API in {new.environment} is not known")
    return options


@retried
def add(runtime: Runtime, who: str, new: NewSource, credentials: Mapping[str, str] | None = None) -> SourceRecord:
    """Add a source, with API credentials where these are given; audited as `source.added`.

    Raises:
        SourceNameWrong
        SourceExists
        BankNotKnown
        OptionsWrong
        CredentialsIncomplete
        CertificateUnusable
        StoreUnavailable
    """
    options = check(new)
    now = runtime.clock()
    if credentials:
        check_credentials(new.bank, credentials, now)
    with runtime.database.write() as connection:
        added = sources.add(
            connection,
            name=new.name,
            bank=new.bank,
            environment=new.environment,
            base_url=new.base_url,
            options=options,
            now=now,
        )
        if credentials:
            sources.set_credentials(connection, runtime.encryption, added, credentials)
        about = {"source": new.name, "bank": new.bank, "environment": new.environment, "credentials": bool(credentials)}
        audit.write(connection, runtime.encryption, at=now, who=who, what="source.added", about=about)
        return named(connection, new.name)


def enable(runtime: Runtime, who: str, name: str) -> None:
    """Take a source's callbacks, and ask its bank; audited as `source.enabled`.

    Raises:
        NotFound
        NotPossible: it was removed.
        StoreUnavailable
    """
    _switch(runtime, who, name, is_on=True)


def disable(runtime: Runtime, who: str, name: str) -> str | None:
    """Take no more callbacks for a source (404), and ask its bank no more; audited as `source.disabled`.

    An unfinished change of its credentials goes on all the same, since its secrets would be lost: it is returned in
    words, none where there is none.

    Raises:
        NotFound
        StoreUnavailable
    """
    change = _switch(runtime, who, name, is_on=False)
    if change is None:
        return None
    return (
        f"its bank is asked on about an unfinished change ({change.kind}) of its credentials, so that no secret is "
        f"lost; `receiver credentials rotate {name} --abandon` gives it up"
    )


@retried
def _switch(runtime: Runtime, who: str, name: str, *, is_on: bool) -> ChangeRecord | None:
    """Enable or disable a source; return the change of its credentials that is unfinished."""
    what = "source.enabled" if is_on else "source.disabled"
    with runtime.database.write() as connection:
        source = locked(connection, name)
        sources.change(connection, source.id, enabled=is_on)
        audit.write(connection, runtime.encryption, at=runtime.clock(), who=who, what=what, about={"source": name})
        return credential_changes.pending(connection, source.id)


def missing_credentials(bank: Bank, given: Mapping[str, str]) -> list[str]:
    """Return the names of the API credentials that a bank needs and that are not given."""
    return [name for name in bank.credential_names if name not in given and name not in bank.credentials_optional]


def check_credentials(bank_name: str, credentials: Mapping[str, str], now: datetime) -> str | None:
    """Accept API credentials; return in words how long their client certificate is good, where there is one.

    Raises:
        CredentialsIncomplete
        CertificateUnusable: it, or the CA's, can't be read, its passcode is wrong, or it has expired at `now` (in UTC).
        NotPossible: the bank has no API.
    """
    bank = banks.named(bank_name)
    if not bank.credential_names:
        raise NotPossible(f"{bank.name} has no API, so it takes no credentials")
    if missing := missing_credentials(bank, credentials):
        raise CredentialsIncomplete(f"the credentials lack {', '.join(missing)}")
    if not isinstance(bank, PresentsCertificate):
        tls.authority_in(credentials)
        return None
    presented = bank.certificate(credentials)
    state, text = tls.expiry(presented.leaf(), now)
    presented.context()
    if state == "fail":
        raise CertificateUnusable(f"the client certificate can't be used: {text}")
    return text


@retried
def set_credentials(runtime: Runtime, who: str, name: str, credentials: Mapping[str, str]) -> ChangeRecord | None:
    """Replace a source's API credentials by ones that the bank gave in another way; audited as `source.credentials`.

    The shared token that the old ones got is dropped. Returns the change of credentials (`receiver credentials`) that
    was unfinished, if there was one: it is given up, since its answer would be put over these.

    Raises:
        NotFound
        NotPossible
        CredentialsIncomplete
        CertificateUnusable
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.write() as connection:
        source = locked(connection, name)
        check_credentials(source.bank, credentials, now)
        given_up = outcomes.supersede(connection, runtime.encryption, source, who, now)
        sources.set_credentials(connection, runtime.encryption, source, credentials)
        bank_tokens.start_anew(connection, source.id)
        audit.write(connection, runtime.encryption, at=now, who=who, what="source.credentials", about={"source": name})
    return given_up


def register(runtime: Runtime, who: str, name: str, origin: str) -> Registration:
    """Tell a bank by its API where a source's callbacks go (the webhook URL).

    Audited as `source.registering` before it is told, and as `source.registered` once it has answered. `origin` is
    where the bank reaches this receiver, `https://HOST[:PORT]`.

    Raises:
        OriginWrong
        NotFound
        NotPossible: the source has no secret yet, so its callbacks would be refused.
        RegistrationNotOffered
        BankError
        BudgetSpent
        StoreUnavailable
    """
    origin = origin.rstrip("/")
    if not ORIGIN.fullmatch(origin):
        raise OriginWrong(f"takes https://HOST[:PORT] (http:// on loopback alone), not {origin!r}")
    with runtime.database.read() as connection:
        source = in_use(connection, name)
        secrets = signing_secrets.valid(connection, runtime.encryption, source.id, runtime.clock())
    session = BankSession(runtime, source, Purpose.PERSON)
    bank = session.bank
    if bank.needs_secret(source.options) and not secrets:
        raise NotPossible(f"{name} has no secret, so its callbacks would be refused: receiver secret set {name}")
    path = bank.listener_path(source.options, secrets[0].text if secrets else None)
    address = f"{origin}{runtime.settings.public_path_prefix}/webhooks/{name}"
    about = {"source": name, "address": address}
    note(runtime, who, "source.registering", about)
    answer = session.ask(lambda client: bank.register(client, f"{address}{path}"))
    answer = masked(answer, [secret.text for secret in secrets])
    note(runtime, who, "source.registered", {**about, "bank_says": answer})
    return Registration(address, bool(path), answer)
