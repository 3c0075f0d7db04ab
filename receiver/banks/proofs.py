"""What each strength of proof leaves open. The same stands in docs/callbacks.md, at length."""

from collections.abc import Sequence

LEAVES_OPEN = {
    "signature": "whoever has the secret (with a public key nobody but the sender); what is signed is not hidden",
    "encryption": "whoever has the key",
    "token": "whoever has seen one callback: it may be altered, made up, or sent again at any time; use HTTPS",
    "address": "whoever can send from an address of the list, and whatever was altered on its way; use HTTPS",
    "none": "everybody: a callback may come from anyone and say anything",
}


def strongest(proofs: Sequence[str]) -> str:
    """Return the word for a source whose callbacks are proven by all of these, the strongest first."""
    return proofs[0] if proofs else "none"
