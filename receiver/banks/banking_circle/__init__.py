"""Banking Circle Connect, API v1: encrypted batches of notifications, mutual TLS, tokens of five minutes."""

from collections.abc import Mapping
from datetime import timedelta

from receiver.banks import tls
from receiver.banks.banking_circle import api, callbacks, options, reports, subscriptions
from receiver.banks.protocol import Bank


class BankingCircle(Bank):
    """Banking Circle as the rest of the house sees it; what it does stands in the modules of this package."""

    name = "banking_circle"
    body_bytes = 50 * 1024 * 1024
    credential_names = ("username", "password", "certificate", "passcode", "ca_certificate")
    credential_files = ("certificate", "ca_certificate")
    hosts: Mapping[str, str] = {
        "production": "https://www.bankingcircleconnect.com",
        "sandbox": "https://sandbox.bankingcircleconnect.com",
    }
    # Not documented: a pace that no reconciliation needs more of. What the bank says by 429 comes first.
    requests = 300
    window_seconds = 60
    token_seconds = 300
    event_types = callbacks.EVENT_TYPES
    # The business day ends at 19:00 CET, and a week-end counts to Monday.
    at_work = "mon-fri,00:00-19:00,Europe/Copenhagen"
    business_days = options.BUSINESS_DAYS
    # The delays between its tries, from 15 seconds to 48 hours, added up (seen, not documented).
    gives_up_after = timedelta(hours=93, minutes=42)
    silence_means = "a subscription unanswered for four days is deactivated, and what happens then is never sent"

    check_options = staticmethod(options.check_options)
    check_secret = staticmethod(options.check_secret)
    key_material = staticmethod(options.key_material)
    proofs = staticmethod(options.proofs)
    authorization_url = staticmethod(options.authorization_url)
    check_head = staticmethod(callbacks.check_head)
    prove = staticmethod(callbacks.prove)
    read = staticmethod(callbacks.read)
    alternatives = staticmethod(options.alternatives)
    opened = staticmethod(callbacks.opened)
    notifications = staticmethod(callbacks.notifications)

    certificate = staticmethod(tls.certificate_in)
    new_token = staticmethod(api.new_token)
    ask = staticmethod(api.ask)
    accounts = staticmethod(api.accounts)
    lists = staticmethod(reports.lists)
    list_page = staticmethod(reports.list_page)

    topics = subscriptions.TOPICS
    secret_in_subscription = True
    list_subscriptions = staticmethod(subscriptions.subscriptions)
    subscribe = staticmethod(subscriptions.subscribe)
    unsubscribe = staticmethod(subscriptions.unsubscribe)


BANK: Bank = BankingCircle()
