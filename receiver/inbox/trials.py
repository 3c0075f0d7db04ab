"""Trying out how a delivery would have been proven: with other options, over other paths, by older secrets."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from receiver.banks.callback import Callback, Profile, Stale
from receiver.banks.protocol import Bank, KeysNotKnown, OptionsWrong
from receiver.signing.errors import Refusal

log = logging.getLogger(__name__)

PROVEN_BY_NOTHING = ("address", "none")
"""What everybody's callback would fit, if only the list were changed: no trial tells anything by these."""

TRIALS_MAX = 200
"""Each costs a verification; whoever sends forty headers must not make it thousands."""


@dataclass(frozen=True)
class Trial:
    """One way in which a delivery is proven genuine."""

    key_id: str
    path: str
    changes: Mapping[str, str]
    """The options that the source would need to have for it, as they are typed; none where it is set up so."""


def first_fit(bank: Bank, callback: Callback, profile: Profile, paths: Sequence[bytes], at: datetime) -> Trial | None:
    """Return the first way that fits, of those with the fewest changes; none where none does.

    `paths` are tried where the bank's proof covers the path; `at` is when the delivery came, in UTC.
    """
    tried = 0
    for changes in _candidates(bank, callback, profile):
        for path in paths if bank.signs_path else [callback.path]:
            tried += 1
            if tried > TRIALS_MAX:
                return None
            found = _try(bank, replace(callback, path=path), profile, changes, at)
            if found is not None:
                return found
    return None


def _candidates(bank: Bank, callback: Callback, profile: Profile) -> Iterator[Mapping[str, str]]:
    yield {}
    yield from bank.alternatives(callback, profile.options)


def _try(bank: Bank, callback: Callback, profile: Profile, changes: Mapping[str, str], at: datetime) -> Trial | None:
    key_id, reason = _judge(bank, callback, profile, changes, at)
    if reason == "address_not_allowed":
        allowed = bank.allowed_addresses(profile.options, profile.environment)
        changes = {**changes, "allowed_addresses": ",".join([*allowed, callback.peer])}
        key_id, _ = _judge(bank, callback, profile, changes, at)
    return None if key_id is None else Trial(key_id, callback.path.decode("latin-1"), changes)


def _judge(
    bank: Bank, callback: Callback, profile: Profile, changes: Mapping[str, str], at: datetime
) -> tuple[str | None, str | None]:
    """Return the key that proves a callback, or the reason why none does."""
    try:
        options = bank.check_options({**profile.options, **changes})
        proof = bank.prove(callback, replace(profile, options=options), at)
    except Stale as stale:
        proof = stale.proof
    except Refusal as refusal:
        return None, refusal.reason
    except (OptionsWrong, KeysNotKnown):
        return None, None
    except Exception:
        # A fault in a verifier must not stop the trials behind this one.
        log.exception("trying out a delivery to %s failed", profile.name)
        return None, None
    return (None, None) if proof.strength in PROVEN_BY_NOTHING else (proof.key_id, None)
