"""BCB: Bermuda Commercial Bank, Open Banking API v1."""

from collections.abc import Mapping

from receiver.banks.bcb import api, callbacks, credentials, explanation, options, subscriptions, transactions
from receiver.banks.protocol import Bank


class Bcb(Bank):
    """BCB as the rest of the house sees it; what it does stands in the modules of this package."""

    name = "bcb"
    has_jobs = True
    credential_names = ("client_id", "client_secret", "ca_certificate")
    hosts: Mapping[str, str] = {"production": "https://api.bcb.bm", "sandbox": "https://api-uat.bcb.bm"}
    requests = 300
    window_seconds = 3600
    token_seconds = 40 * 60
    event_types = callbacks.EVENT_TYPES
    publishes_keys = True
    signs_path = True
    codings = ("gzip", "deflate")
    incoming_net_of_fees = True

    check_options = staticmethod(options.check_options)
    check_secret = staticmethod(options.check_secret)
    check_head = staticmethod(callbacks.check_head)
    prove = staticmethod(callbacks.prove)
    read = staticmethod(callbacks.read)
    explain = staticmethod(explanation.explain)
    alternatives = staticmethod(explanation.alternatives)

    new_token = staticmethod(api.new_token)
    ask = staticmethod(api.ask)
    accounts = staticmethod(api.accounts)
    fetch_public_keys = staticmethod(api.fetch_public_keys)
    clock = staticmethod(api.clock)

    lists = staticmethod(transactions.lists)
    list_page = staticmethod(transactions.list_page)
    answer_page = staticmethod(transactions.answer_page)

    topics = subscriptions.TOPICS
    secret_in_subscription = False
    list_subscriptions = staticmethod(subscriptions.subscriptions)
    subscribe = staticmethod(subscriptions.subscribe)
    unsubscribe = staticmethod(subscriptions.unsubscribe)

    needed_permissions = credentials.NEEDED
    check_addresses = staticmethod(credentials.check_addresses)
    create_credentials = staticmethod(credentials.create)
    rotate_credentials = staticmethod(credentials.rotate)
    disable_credentials = staticmethod(credentials.disable)
    permissions = staticmethod(credentials.permissions)


BANK: Bank = Bcb()
