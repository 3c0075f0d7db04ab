"""What the bank publishes: the example secret and the example notification, as bytes on the wire."""

import pytest


@pytest.fixture(scope="session")
def example_secret() -> str:
    return "HtYp2oJm5DwQ1xL8bSeRgUkN4vZc3PhYtLwSxV2N9Cs="


@pytest.fixture(scope="session")
def example_body() -> bytes:
    return (
        b'{"subscriptionId":"e2a55504-3924-4b48-9d7e-540efcd6fa30","topic":"Deposits","accountNumber":"1046406142",\n'
        b' "transactionId":"FT2384654NXF6","type":"Credit","value":{"amount":"1000.00","currency":"USD"},\n'
        b' "transactionType":"Swift payment","transactionDetails":"Payment details"}'
    )
