"""Finding out how a stored delivery was signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from receiver import banks
from receiver.banks.abilities import Explains, Match
from receiver.banks.protocol import Callback, Carried, Profile
from receiver.inbox.reverify import callback_of
from receiver.model import ReceiverError, SecretState
from receiver.signing import static_token
from receiver.store import bank_sessions, events, signing_secrets, sources
from receiver.store.deliveries import DeliveryRecord
from receiver.store.encryption import Encryption
from receiver.store.sources import SourceRecord


class NotExplained(ReceiverError):
    """There is no way to look into this delivery."""


@dataclass(frozen=True)
class Fit:
    """One way of verifying that fits, and what is otherwise than the source has it."""

    match: Match
    differences: Sequence[str]


@dataclass(frozen=True)
class Report:
    """What is known of how a delivery was signed."""

    fits: Sequence[Fit]
    clock_seconds: float | None
    remarks: Sequence[str]


def explain(
    connection: Connection, encryption: Encryption, row: DeliveryRecord, prefix: str, more: Sequence[str], now: datetime
) -> Report:
    """Try all versions of the source's secret, its public keys, and paths that could be meant, `more` among them.

    Where a token is all that is shown, say where a known one came.

    Raises:
        NotExplained
        DecryptionFailed
    """
    source = sources.find(connection, row.source)
    bank = banks.named(source.bank) if source is not None else None
    if source is not None and bank is not None and (carried := bank.carried(source.options)).shows_token:
        return Report([], None, _where_tokens_came(connection, encryption, row, source, carried, now))
    if source is None or not isinstance(bank, Explains):
        raise NotExplained(f"how callbacks of {row.source} are signed can't be looked into")
    body = row.body if row.body is not None else _body_of_first(connection, row)
    if body is None or len(body) < row.body_bytes:
        stored = f"only {len(body or b'')} of {row.body_bytes} bytes were kept"
        raise NotExplained(f"{stored} (see RECEIVER_REJECTED_BODY_BYTES), and the signature is over all of them")
    callback = callback_of(row, bytes(body))
    versions = {version.version: version.state(now) for version in signing_secrets.versions(connection, source.id)}
    opened = signing_secrets.every(connection, encryption, source.id)
    keys = bank_sessions.public_keys(connection, encryption, source)
    secrets = [(str(secret.version), secret.text) for secret in opened]
    profile = Profile(source.name, source.options, secrets, keys.jwks)
    found = bank.explain(callback, profile, _paths(row.path, prefix, more), row.received_at)
    fits = [Fit(match, _differences(match, callback, source.options, versions)) for match in found.matches]
    remarks = list(found.remarks)
    if not fits:
        remarks.append("no known secret or key, in any encoding, over any path that was tried, made this signature")
    return Report(fits, found.clock_seconds, remarks)


def _where_tokens_came(
    connection: Connection,
    encryption: Encryption,
    row: DeliveryRecord,
    source: SourceRecord,
    carried: Carried,
    now: datetime,
) -> list[str]:
    """Say in which header, or where in the path, each token that is known came, though its digest alone is stored."""
    expected = {f"the header {name}" for name in carried.headers} | ({"the path"} if carried.in_channel else set())
    states = {version.version: version.state(now) for version in signing_secrets.versions(connection, source.id)}
    shown = [(f"the header {name}", value) for name, value in row.headers.items()]
    shown += [("the path", segment) for segment in (row.channel or "").split("/")]
    remarks = []
    for secret in signing_secrets.every(connection, encryption, source.id):
        for place, value in shown:
            if not static_token.is_shown(secret.text, value):
                continue
            wanted = " or ".join(sorted(expected)) or "nowhere"
            but = ", as the source has it" if place in expected else f"; the source looks for it in {wanted}"
            expired = "; it has expired" if states.get(secret.version) == SecretState.EXPIRED else ""
            remarks.append(f"secret {secret.version} came in {place}{but}{expired}")
    return remarks or ["no known token came with it, in any header or in the path"]


def _body_of_first(connection: Connection, row: DeliveryRecord) -> bytes | None:
    """Return the bytes of a duplicate, which are stored with the event that they told first; none where they differ."""
    for event_id in events.ids_of_delivery(connection, row.id):
        event = events.find(connection, event_id)
        if event is not None and event.payload_sha256 == row.body_sha256:
            return events.raw(connection, event_id)
    return None


def _paths(path: str, prefix: str, more: Sequence[str]) -> list[bytes]:
    """Return the path as it came, without and with the public prefix, each with and without a slash at its end."""
    paths = [path]
    if prefix:
        paths.append(path.removeprefix(prefix) if path.startswith(prefix) else prefix + path)
    paths += more
    toggled = [each.rstrip("/") if each.endswith("/") else f"{each}/" for each in paths]
    return [each.encode("latin-1", "replace") for each in dict.fromkeys(paths + toggled) if each]


def _differences(match: Match, callback: Callback, options: Any, versions: dict[int, SecretState]) -> list[str]:
    differences = []
    encoding = options.get("encoding", "base64")
    if match.encoding is not None and match.encoding != encoding:
        differences.append(f"the source's option encoding is {encoding}")
    if match.path.encode("latin-1") != callback.path:
        differences.append(f"it came to {callback.path.decode('latin-1')}")
    name, _, version = match.key_id.partition(":")
    if name == "secret" and versions.get(int(version)) == SecretState.EXPIRED:
        differences.append("this secret has expired")
    return differences
