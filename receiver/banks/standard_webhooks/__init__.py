"""Any sender that follows Standard Webhooks 1.0.0. There is no API behind it, so nobody confirms what it claims."""

from receiver.banks.protocol import Bank
from receiver.banks.standard_webhooks import callbacks, explanation


class StandardWebhooks(Bank):
    """A sender that follows Standard Webhooks, as the rest of the house sees it."""

    name = "standard_webhooks"
    why_no_lists = "there is no API behind a sender of Standard Webhooks that could be asked what it knows"

    check_options = staticmethod(callbacks.check_options)
    check_secret = staticmethod(callbacks.check_secret)
    key_material = staticmethod(callbacks.key_material)
    check_head = staticmethod(callbacks.check_head)
    prove = staticmethod(callbacks.prove)
    read = staticmethod(callbacks.read)
    explain = staticmethod(explanation.explain)
    alternatives = staticmethod(explanation.alternatives)


BANK: Bank = StandardWebhooks()
