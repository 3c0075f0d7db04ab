"""ConnectPay: BaaS with integrated SCA. Callbacks show a token and come from known addresses; nothing signs them."""

from collections.abc import Mapping

from receiver.banks.connectpay import api, callbacks, options
from receiver.banks.connectpay.calls import Call, CallWrong, User, UserNeeded, call
from receiver.banks.protocol import Bank, Pauses

__all__ = ["BANK", "Call", "CallWrong", "User", "UserNeeded", "call"]


class ConnectPay(Bank):
    """ConnectPay as the rest of the house sees it; what it does stands in the modules of this package."""

    name = "connectpay"
    acknowledgement = "OK"
    credential_names = ("client_key", "client_secret", "ca_certificate")
    hosts: Mapping[str, str] = {
        "production": "https://api2.connectpay.com",
        "sandbox": "https://api2-stage.connectpay.com",
    }
    # Two a second are recommended. Fixed windows of a second would let four through around their border.
    requests = 1
    window_seconds = 0.5
    token_seconds = 86400
    renews_tokens = False
    # No fixed interval under five minutes, and once or twice a day for what takes long.
    pauses = Pauses(first=5 * 60, longest=12 * 3600)
    event_types = callbacks.EVENT_TYPES
    gives_up_failures = 100
    quiet_hours = 24
    why_no_lists = (
        "ConnectPay documents no list of payments: a payment is asked for by its paymentOrderNo, and no other way"
    )
    silence_means = "after 100 failed callbacks ConnectPay switches them off until its support switches them on again"

    check_options = staticmethod(options.check_options)
    check_secret = staticmethod(options.check_secret)
    proofs = staticmethod(options.proofs)
    allowed_addresses = staticmethod(options.allowed_addresses)
    alternatives = staticmethod(options.alternatives)
    carried = staticmethod(options.carried)
    check_head = staticmethod(callbacks.check_head)
    prove = staticmethod(callbacks.prove)
    read = staticmethod(callbacks.read)

    new_token = staticmethod(api.new_token)
    authorization = staticmethod(api.authorization)
    ask = staticmethod(api.ask)
    clock = staticmethod(api.clock)


BANK: Bank = ConnectPay()
