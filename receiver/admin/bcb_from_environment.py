"""The source `bcb` as environment variables set it: `BCB_CLIENT_ID`, `BCB_CLIENT_SECRET` and their like."""

import hashlib
import hmac
import json
import logging
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection

from receiver import banks
from receiver.banks.protocol import OptionsWrong
from receiver.credentials import outcomes
from receiver.runtime import Runtime
from receiver.settings import Settings, SettingsError
from receiver.signing.errors import Refusal
from receiver.store import audit, bank_tokens, credential_changes, destinations, public_keys, signing_secrets, sources
from receiver.store.database import StoreUnavailable, retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

NAME = BANK = "bcb"

WHO = "environment"
"""Who the audit log names: whoever sets the variables is not known here."""


def is_set(settings: Settings) -> bool:
    """Tell whether any of the variables is there."""
    return any(_given(settings).values())


def apply(runtime: Runtime, seconds: float | None = None) -> bool:
    """Create or update the source `bcb` by those of its variables that changed since they were last applied.

    What was changed on the command line in the meantime (a rotated secret, say) is therefore never set back by a
    restart, nor by another variable. Returns whether anything was written. Other credentials than the source's give up
    an unfinished change of them, whose answer would be put over these. Audited as `source.added`, `source.set` where
    the address is another, `source.credentials`, and `secret.set` where the secret is a new one.

    With `seconds` each transaction waits no longer for the database, and for its turn, and none is tried anew.

    Raises:
        SettingsError: the secret makes no key, the source is of another bank, the credentials would go where nobody
            said, or the address alone is another while a change of credentials is unfinished; nothing is written.
        StoreUnavailable
    """
    if not is_set(runtime.settings):
        return False
    given = _given(runtime.settings)
    put, renew = (retried(_put), retried(_renew)) if seconds is None else (_put, _renew)
    with runtime.database.read(seconds) as connection:
        known = sources.find(connection, NAME)
    if known is not None and known.hidden_at is not None:
        log.warning("source %s was removed: take the variables BCB_* away, they are not applied", NAME)
        return False
    if known is not None:
        _check_bank(known)
    if known is not None and _is_applied(runtime.settings, known, given):
        if known.environment_digest != _written(runtime.settings, given):
            renew(runtime, seconds)
        return False
    try:
        put(runtime, given, seconds)
    except StoreUnavailable:
        # Of several processes that start together, on PostgreSQL, one may have been first.
        with runtime.database.read(seconds) as connection:
            known = sources.find(connection, NAME)
        if known is None or known.environment_digest != _written(runtime.settings, given):
            raise
        return False
    return True


def _renew(runtime: Runtime, seconds: float | None) -> None:
    with runtime.database.write(seconds, seconds) as connection:
        renew_digest(connection, runtime.settings)


def _put(runtime: Runtime, given: Mapping[str, str | None], seconds: float | None) -> None:
    with runtime.database.write(seconds, seconds) as connection:
        _apply(connection, runtime, given)


def renew_digest(connection: Connection, settings: Settings) -> None:
    """Make the digests anew with the newest key.

    Else the variables would seem to have changed once the key that made it is dropped, and would be applied again,
    over what was rotated since.
    """
    given = _given(settings)
    known = sources.find(connection, NAME)
    if known is not None and _is_applied(settings, known, given):
        sources.change(connection, known.id, environment_digest=_written(settings, given))


def sets_credentials_of(settings: Settings, source_name: str) -> bool:
    """Tell whether the variables hold the source's API credentials, which a rotation has therefore left behind."""
    return source_name == NAME and settings.bcb_client_secret is not None


def _given(settings: Settings) -> dict[str, str | None]:
    return {
        "client_id": settings.bcb_client_id,
        "client_secret": _text(settings.bcb_client_secret),
        "secret": _text(settings.bcb_message_signing_secret),
        "base_url": settings.bcb_base_url,
    }


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value().strip() if secret is not None else None


def _written(settings: Settings, given: Mapping[str, str | None]) -> str:
    """Return what is written down of the variables: a digest of all of them, and one of each that counts by itself.

    Older databases hold the first alone: once one of them changes there, all are applied.
    """
    return " ".join(_digest(settings.keys[0], part) for part in (given, *_parts(given)))


def _parts(given: Mapping[str, str | None]) -> list[dict[str, str | None]]:
    """Return what may change by itself: client id and secret are one."""
    names = (("client_id", "client_secret"), ("secret",), ("base_url",))
    return [{name: given[name] for name in of_part} for of_part in names]


def _is_applied(settings: Settings, source: SourceRecord, given: Mapping[str, str | None]) -> bool:
    """Tell whether just these were applied last."""
    digests = (source.environment_digest or "").split()
    return any(_digest(key, given) in digests for key in settings.keys)


def _changed(settings: Settings, source: SourceRecord, given: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return those that are others than were applied last, and none for the rest.

    The address counts beside credentials that changed: it says where they may go.
    """
    changed = [part for part in _parts(given) if not _is_applied(settings, source, part)]
    names = {name for part in changed for name in part}
    if "client_secret" in names:
        names.add("base_url")
    return {name: value if name in names else None for name, value in given.items()}


def _digest(key: str, given: Mapping[str, str | None]) -> str:
    """With a key, so that nobody who reads the database can try secrets against it."""
    return hmac.new(key.encode(), json.dumps(given, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _apply(connection: Connection, runtime: Runtime, given: Mapping[str, str | None]) -> None:
    _check_base_url(given["base_url"])
    source = destinations.locked(connection, NAME) or _add(connection, runtime, given["base_url"])
    _check_bank(source)
    sources.change(connection, source.id, environment_digest=_written(runtime.settings, given))
    given = _changed(runtime.settings, source, given)
    address = source.base_url
    _make_way(connection, runtime, source, given)
    if given["base_url"] is not None or given["client_secret"]:
        source = _move(connection, runtime, source, given)
    if source.base_url != address:
        _note(connection, runtime, "source.set", {"base_url": source.base_url})
    if credentials := _credentials(given):
        sources.renew_credentials(connection, runtime.encryption, source, credentials)
        bank_tokens.start_anew(connection, source.id)
        _note(connection, runtime, "source.credentials", {})
    if given["secret"]:
        _put_secret(connection, runtime, source, given["secret"])


def _credentials(given: Mapping[str, str | None]) -> dict[str, str]:
    pair = {"client_id": given["client_id"], "client_secret": given["client_secret"]}
    return {name: value for name, value in pair.items() if value}


def _make_way(connection: Connection, runtime: Runtime, source: SourceRecord, given: Mapping[str, str | None]) -> None:
    """Give up an unfinished change of credentials where others are given: its answer would be put over these.

    Nor is anybody told then of what a change has brought before.

    Raises:
        SettingsError: no others are given, and the source is to be moved; as with `receiver source set` it must stay.
    """
    if _are_others(connection, runtime, source, _credentials(given)):
        outcomes.supersede(connection, runtime.encryption, source, WHO, runtime.clock())
        return
    change = credential_changes.pending(connection, source.id)
    if change is not None and given["base_url"] not in (None, source.base_url):
        raise SettingsError(
            f"BCB_BASE_URL is wrong: {outcomes.standing(source, change)}; until it is over, it takes: "
            f"{source.base_url or 'nothing'}"
        )


def _are_others(connection: Connection, runtime: Runtime, source: SourceRecord, given: Mapping[str, str]) -> bool:
    """Tell whether credentials are given that the source does not use."""
    try:
        used = sources.credentials(connection, runtime.encryption, source) or {}
    except DecryptionFailed:
        used = {}
    return any(used.get(name) != value for name, value in given.items())


def _check_bank(source: SourceRecord) -> None:
    if source.bank != BANK:
        raise SettingsError(
            f"BCB_* are set, and the source {NAME} is of another bank, {source.bank}; they take: a source {NAME} of "
            f"the bank {BANK}. Take them away"
        )


def _check_base_url(base_url: str | None) -> None:
    try:
        if base_url is not None:
            banks.named(BANK).check_base_url(base_url)
    except OptionsWrong as error:
        raise SettingsError(f"BCB_BASE_URL is wrong ({error}); it takes: https://HOST, http:// on loopback") from None


def _move(
    connection: Connection, runtime: Runtime, source: SourceRecord, given: Mapping[str, str | None]
) -> SourceRecord:
    """Give the source the address that the variables say, or leave it the one that its credentials are bound to.

    The credentials in the environment never go to an address that stands in the database alone, with nothing sealed
    beside it that vouches for it: whoever can write there could have put it there.

    Raises:
        SettingsError
    """
    base_url = given["base_url"] or source.base_url
    is_named = given["base_url"] is not None or base_url in (None, banks.named(BANK).hosts.get(source.environment))
    try:
        if source.has_credentials:
            return destinations.move(connection, runtime.encryption, source, base_url=base_url)
    except DecryptionFailed as error:
        log.warning("%s: %s; what the environment says counts", NAME, error)
    if given["client_secret"] and not is_named:
        raise SettingsError(
            "BCB_BASE_URL is not set, and nothing vouches for the address that the source bcb has in the database; "
            "it takes: the address that BCB_CLIENT_SECRET may be sent to"
        )
    sources.change(connection, source.id, base_url=base_url)
    found = sources.find(connection, NAME)
    assert found is not None  # noqa: S101 - it is locked by this transaction
    public_keys.seal(connection, runtime.encryption, found, None)
    return found


def _add(connection: Connection, runtime: Runtime, base_url: str | None) -> SourceRecord:
    bank = banks.named(BANK)
    environment = "production" if base_url in (None, bank.hosts["production"]) else "sandbox"
    added = sources.add(
        connection,
        name=NAME,
        bank=bank.name,
        environment=environment,
        base_url=base_url,
        options={},
        now=runtime.clock(),
    )
    _note(connection, runtime, "source.added", {"bank": bank.name, "environment": environment})
    return added


def _put_secret(connection: Connection, runtime: Runtime, source: SourceRecord, secret: str) -> None:
    try:
        banks.named(source.bank).check_secret(secret, source.options)
    except Refusal as refusal:
        accepted = "the message-signing secret as the bank gave it"
        wrong = f"BCB_MESSAGE_SIGNING_SECRET is wrong ({refusal.detail}); it takes: {accepted}"
        raise SettingsError(wrong) from None
    stored = signing_secrets.put(
        connection,
        runtime.encryption,
        source.id,
        secret,
        now=runtime.clock(),
        grace_seconds=runtime.settings.secret_grace_seconds,
    )
    if stored.is_new:
        credential_changes.supersede(connection, source.id, runtime.clock())
        _note(connection, runtime, "secret.set", {"version": stored.version})


def _note(connection: Connection, runtime: Runtime, what: str, about: Mapping[str, Any]) -> None:
    about = {"source": NAME, **about}
    audit.write(connection, runtime.encryption, at=runtime.clock(), who=WHO, what=what, about=about)
