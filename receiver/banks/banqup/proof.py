"""Proving that a message came from Banqup: by a token in its path or in a header, by its sender's address, or both.

How Banqup proves its messages is not documented. Nothing binds a token or an address to the body, or to a time.
"""

from receiver.banks.bank import Callback, Profile, Proof
from receiver.banks.banqup import options
from receiver.signing import addresses, static_token
from receiver.signing.errors import Refusal

CHANNEL = "messages"
"""What Banqup puts behind the listener's address."""


def check(callback: Callback, profile: Profile) -> Proof:
    """Prove that a message shows what the source asks for.

    Raises:
        Refusal
    """
    place = profile.options.get("token_in")
    before, _, last = (callback.channel or "").rpartition("/")
    if last != CHANNEL or bool(before) != (place == options.PATH):
        raise Refusal("channel_not_expected", f"messages come to …/{CHANNEL}")
    allowed = profile.options.get("allowed_addresses", ())
    if place is None:
        return Proof("address", f"address:{addresses.match(callback.peer, allowed)}", callback.body)
    header = callback.headers.get(options.token_header(profile.options), b"")
    shown = before.encode("latin-1", "replace") if place == options.PATH else header
    key_id = static_token.match(static_token.ids(profile.secrets), shown, hidden=callback.hidden)
    profile.check_address(callback)
    return Proof("token", key_id, callback.body)
