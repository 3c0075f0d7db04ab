"""Proving that a callback is ConnectPay's: it shows the token, and comes from one of the bank's addresses.

Nothing binds the token to the body, and nothing to a time: who once reads one callback can send any other, for as long
as the token is valid, from an address of the bank.
"""

from receiver.banks.bank import Callback, Profile, Proof
from receiver.banks.connectpay import options
from receiver.signing import addresses, static_token

TIMESTAMP = "x-connectpay-timestamp"


def check(callback: Callback, profile: Profile) -> Proof:
    """Prove that the sender knows the token and sends from an address on the list.

    Raises:
        Refusal
    """
    shown = callback.headers.get(options.token_header(profile.options), b"")
    tokens = static_token.ids(profile.secrets)
    key_id = static_token.match(tokens, shown, hidden=callback.hidden)
    addresses.match(callback.peer, options.allowed_addresses(profile.options, profile.environment), proven=True)
    timestamp = callback.headers.get(TIMESTAMP, b"").decode("latin-1")
    return Proof(strength="token", key_id=key_id, content=callback.body, headers={TIMESTAMP: timestamp})
