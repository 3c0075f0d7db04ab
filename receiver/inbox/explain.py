"""Finding out how a stored delivery was signed."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from receiver import banks
from receiver.banks.abilities import Explains, Match
from receiver.banks.callback import Callback, Carried, Profile
from receiver.banks.protocol import Bank
from receiver.inbox import trials
from receiver.inbox.reverify import callback_of, uncoded
from receiver.inbox.source_cache import whole_profile
from receiver.inbox.trials import Trial
from receiver.inbox.verification import CODING_BROKEN
from receiver.model import ReceiverError, SecretState, Verdict
from receiver.runtime import Runtime
from receiver.signing import static_token
from receiver.signing.errors import Refusal
from receiver.store import deliveries, signing_secrets, sources
from receiver.store.deliveries import DeliveryRecord
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
    commands: Sequence[str] = ()
    """What puts it right, to be pasted into a shell; none where nothing on this side does."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """The options among that, by which the source would have taken it."""
    fits_now: bool = False
    """Whether it would be taken once the options are so, without another secret."""


def explain(connection: Connection, runtime: Runtime, row: DeliveryRecord, more: Sequence[str] = ()) -> Report:
    """Try all versions of the source's secret, its public keys, and paths that could be meant, `more` among them.

    Where a token is all that is shown, say where a known one came. Options by which the source would have taken it are
    tried too.

    Raises:
        NotExplained
        DecryptionFailed
    """
    source = sources.find(connection, row.source)
    if source is None:
        raise NotExplained(f"how callbacks of {row.source} are signed can't be looked into")
    bank = banks.named(source.bank)
    carried = bank.carried(source.options)
    callback = _callback(connection, runtime, bank, row, is_signed=not carried.shows_token)
    now = runtime.clock()
    versions = {version.version: version.state(now) for version in signing_secrets.versions(connection, source.id)}
    profile = whole_profile(connection, runtime.encryption, source)
    paths = _paths(row.path, runtime.settings.public_path_prefix, more)
    trial = trials.first_fit(bank, callback, profile, paths, row.received_at)
    if carried.shows_token:
        found = Report([], None, _where_tokens_came(profile, row, carried, versions))
    elif isinstance(bank, Explains):
        found = _signed(bank, callback, profile, paths, row, versions)
    else:
        found = Report([Fit(Match(trial.key_id, None, trial.path), [])] if trial else [], None, [])
    is_said = bool(found.fits) or carried.shows_token
    return _with_remedy(found, trial, source, row, versions, is_said=is_said)


def _callback(
    connection: Connection, runtime: Runtime, bank: Bank, row: DeliveryRecord, *, is_signed: bool
) -> Callback:
    """Return the callback that came, its body free of its content coding where something in it proves anything.

    Raises:
        NotExplained
    """
    stored = callback_of(row, _body(connection, row, is_signed=is_signed))
    try:
        return uncoded(runtime, bank, stored) if is_signed else stored
    except Refusal as refusal:
        raise NotExplained(
            f"its content coding is not undone here ({refusal.detail}), and the proof is over what it codes"
        ) from refusal


def _body(connection: Connection, row: DeliveryRecord, *, is_signed: bool) -> bytes:
    """Return the body that came; where nothing in it proves anything, as much of it as was stored.

    Raises:
        NotExplained
    """
    body = deliveries.body_of(connection, row)
    if row.verdict != Verdict.REJECTED and (not row.headers or (is_signed and body is None)):
        raise NotExplained("its body or its headers are stored no longer (retention), and the proof is over them")
    if is_signed and (body is None or len(body) < row.body_bytes):
        stored = f"only {len(body or b'')} of {row.body_bytes} bytes were kept"
        raise NotExplained(f"{stored} (see RECEIVER_REJECTED_BODY_BYTES), and the signature is over all of them")
    return bytes(body or b"")


def _signed(
    bank: Explains,
    callback: Callback,
    profile: Profile,
    paths: Sequence[bytes],
    row: DeliveryRecord,
    versions: Mapping[int, SecretState],
) -> Report:
    found = bank.explain(callback, profile, paths, row.received_at)
    fits = [Fit(match, _differences(match, callback, profile.options, versions)) for match in found.matches]
    return Report(fits, found.clock_seconds, list(found.remarks))


def _with_remedy(
    found: Report,
    trial: Trial | None,
    source: SourceRecord,
    row: DeliveryRecord,
    versions: Mapping[int, SecretState],
    *,
    is_said: bool,
) -> Report:
    """Say what would put it right, as far as that can be known: by the options that were tried out.

    `is_said`: what was found tells already why nothing fitted.
    """
    if trial is None:
        nothing = "no known secret or key, in any encoding, over any path that was tried, made this signature"
        if row.has_cut_path or row.has_cut_headers:
            nothing = "of its path or headers only a part was kept, so whether it was signed rightly can't be told"
        elif row.reason == CODING_BROKEN:
            nothing = f"its body is not what its Content-Encoding says ({row.detail})"
        return found if is_said else replace(found, remarks=[*found.remarks, nothing])
    remarks = [*found.remarks, *(f"it takes {name}={value}" for name, value in trial.changes.items())]
    if "allowed_addresses" in trial.changes:
        remarks.append(f"{row.peer} is not on the source's list: add it only where it is the bank's own address")
    if trial.path != row.path:
        return replace(found, remarks=[*remarks, _path_words(trial.path, row.path)])
    if source.hidden_at is not None:
        return replace(found, remarks=[*remarks, f"source {source.name} was removed"])
    return replace(
        found,
        remarks=remarks,
        commands=_commands(trial, source, row, versions),
        changes=dict(trial.changes),
        fits_now=not _is_expired(trial.key_id, versions),
    )


def _path_words(signed: str, came: str) -> str:
    dropped = signed.removesuffix(came)
    if signed.endswith(came) and dropped.startswith("/"):
        return f"a proxy drops {dropped} before the path: set RECEIVER_PUBLIC_PATH_PREFIX={dropped} and start anew"
    return f"the bank signs the path of the address that it was given: give it one that ends with {came}"


def _commands(
    trial: Trial, source: SourceRecord, row: DeliveryRecord, versions: Mapping[int, SecretState]
) -> list[str]:
    commands = []
    if trial.changes:
        options = " ".join(f"--option {shlex.quote(f'{name}={value}')}" for name, value in trial.changes.items())
        commands.append(f"receiver source set {source.name} {options}")
    if _is_expired(trial.key_id, versions):
        commands.append(f"receiver secret set {source.name}")
    if row.verdict == Verdict.REJECTED:
        commands.append(f"receiver deliveries reverify --source {source.name}")
    return commands


def _is_expired(key_id: str, versions: Mapping[int, SecretState]) -> bool:
    name, _, version = key_id.partition(":")
    return name == "secret" and versions.get(int(version)) == SecretState.EXPIRED


def _where_tokens_came(
    profile: Profile, row: DeliveryRecord, carried: Carried, versions: Mapping[int, SecretState]
) -> list[str]:
    """Say in which header, or where in the path, each token that is known came, though its digest alone is stored."""
    expected = {f"the header {name}" for name in carried.headers} | ({"the path"} if carried.in_channel else set())
    shown = [(f"the header {name}", value) for name, value in row.headers.items()]
    shown += [("the path", segment) for segment in (row.channel or "").split("/")]
    remarks = []
    for version, token in profile.secrets:
        for place, value in shown:
            if not static_token.is_shown(token, value):
                continue
            wanted = " or ".join(sorted(expected)) or "nowhere"
            but = ", as the source has it" if place in expected else f"; the source looks for it in {wanted}"
            expired = "; it has expired" if _is_expired(f"secret:{version}", versions) else ""
            remarks.append(f"secret {version} came in {place}{but}{expired}")
    return remarks or ["no known token came with it, in any header or in the path"]


def _paths(path: str, prefix: str, more: Sequence[str]) -> list[bytes]:
    """Return the path as it came, without and with the public prefix, each with and without a slash at its end."""
    paths = [path]
    if prefix:
        paths.append(path.removeprefix(prefix) if path.startswith(prefix) else prefix + path)
    paths += more
    toggled = [each.rstrip("/") if each.endswith("/") else f"{each}/" for each in paths]
    return [each.encode("latin-1", "replace") for each in dict.fromkeys(paths + toggled) if each]


def _differences(match: Match, callback: Callback, options: Any, versions: Mapping[int, SecretState]) -> list[str]:
    differences = []
    encoding = options.get("encoding", "base64")
    if match.encoding is not None and match.encoding != encoding:
        differences.append(f"the source's option encoding is {encoding}")
    if match.path.encode("latin-1") != callback.path:
        differences.append(f"it came to {callback.path.decode('latin-1')}")
    if _is_expired(match.key_id, versions):
        differences.append("this secret has expired")
    return differences
