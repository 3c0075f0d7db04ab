"""Banqup: messages to a listener, secured by what a source says, because Banqup's documents do not say by what."""

from collections.abc import Mapping
from typing import Any

from receiver.banks.banqup import api, callbacks, options
from receiver.banks.protocol import Bank


class Banqup(Bank):
    """Banqup as the rest of the house sees it; what it does stands in the modules of this package."""

    name = "banqup"
    credential_names = ("client_id", "client_secret", "ca_certificate")
    hosts: Mapping[str, str] = {"sandbox": "https://api.uat.btx.eu.banqup.com"}
    # Its limits are not known.
    requests = 60
    window_seconds = 60
    # The documents say both 5 and 60 minutes; the answer is read first.
    token_seconds = 300
    why_no_lists = (
        "Banqup documents no list of payments: a payment is asked for by its id in its space, and no other way"
    )
    event_types = callbacks.EVENT_TYPES

    check_options = staticmethod(options.check_options)
    check_base_url = staticmethod(options.check_base_url)
    check_secret = staticmethod(options.check_secret)
    needs_secret = staticmethod(options.needs_secret)
    proofs = staticmethod(options.proofs)
    alternatives = staticmethod(options.alternatives)
    carried = staticmethod(options.carried)
    listener_path = staticmethod(options.listener_path)
    check_head = staticmethod(callbacks.check_head)
    prove = staticmethod(callbacks.prove)
    read = staticmethod(callbacks.read)

    new_token = staticmethod(api.new_token)
    ask = staticmethod(api.ask)
    register = staticmethod(api.register)

    def why_unasked(self, kind: str, given: Mapping[str, Any], facts: Mapping[str, Any], /) -> str | None:
        """Return why a payment can't be asked about: nothing says in which space it is."""
        why = super().why_unasked(kind, given, facts)
        return why or (None if api.space_of(given, facts) else api.NO_SPACE)


BANK: Bank = Banqup()
