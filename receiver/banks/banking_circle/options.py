"""What can be set for a Banking Circle source: its options, its encryption key, and what else may have been meant."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, get_args

from receiver.banks import options
from receiver.banks.protocol import Callback, OptionsWrong
from receiver.signing import aes_gcm
from receiver.signing.aes_gcm import NONCE_BYTES, TAG_BYTES
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import SecretEncoding, from_base64

ENCODING = "utf8"
"""How the encryption key's text becomes a key where the option `encoding` does not say."""

BUSINESS_DAYS = "mon-fri,19:00,Europe/Copenhagen"
"""The bank's own: CET, until 19:00, and a week-end counts to Monday."""

HEADERS = {"nonce_header": "nonce", "tag_header": "authenticationtag", "checksum_header": "checksum"}
"""The options that name headers, and the bank's own names, in lower case."""

CHECKSUM_BYTES = 32

SIZES = {"nonce_header": NONCE_BYTES, "tag_header": TAG_BYTES, "checksum_header": CHECKSUM_BYTES}
"""How many bytes those headers hold."""

NO_PARTIES = "leave_out"

AUTHORIZATION_HOSTS = {
    "production": "https://authorization.bankingcircleconnect.com",
    "sandbox": "https://authorizationsandbox.bankingcircleconnect.com",
}


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `encoding`: how the encryption key's text becomes a key, `utf8` (default) or `base64`.
    `allowed_addresses`: comma-separated addresses or networks; callbacks from any other are refused.
    `authorization_url`: where tokens are given out, where it is not the bank's own host for the environment.
    `nonce_header`, `tag_header`, `checksum_header`: other names of the headers of a callback.
    `parties`: whether names and accounts of debtor and creditor are facts of events, `store` (default) or `leave_out`.
    `requests_per_window`: how many requests the bank takes in a minute (default 300).
    `quiet_hours`: after how long without a callback a warning is given (default 0, for never).
    `business_hours`: which of these hours count, `DAYS,HH:MM-HH:MM,ZONE` (default: Monday to Friday until 19:00 CET).
    `business_days`: its business days and when each ends, `DAYS,HH:MM,ZONE` (default Monday to Friday, 19:00 CET).

    Raises:
        OptionsWrong
    """
    stored = options.check("banking_circle", given, _KNOWN)
    names = [header(name, stored) for name in HEADERS]
    if len({*names}) < len(names):
        raise OptionsWrong(
            f"{', '.join(f'{option}={name}' for option, name in zip(HEADERS, names, strict=True))}: nonce, "
            "authentication tag and checksum come in three headers, each with a name of its own"
        )
    return stored


def check_secret(secret: str, given: Mapping[str, Any]) -> None:
    """Accept a text that makes an AES key in the source's encoding.

    Raises:
        Refusal: `secret_malformed`.
    """
    aes_gcm.key("new", secret, given.get("encoding", ENCODING))


def key_material(secret: str, given: Mapping[str, Any]) -> bytes:
    """Return the AES key that a text makes in the source's encoding.

    Raises:
        Refusal: `secret_malformed`.
    """
    return aes_gcm.key("new", secret, given.get("encoding", ENCODING)).material


def proofs(given: Mapping[str, Any]) -> Sequence[str]:
    """Return by what callbacks are proven: encryption, and the sender's address where there is a list of them."""
    return ("encryption", "address") if given.get("allowed_addresses") else ("encryption",)


def authorization_url(environment: str, base_url: str | None, given: Mapping[str, Any]) -> str:
    """Return where tokens are given out: another host than the API's.

    A source with an address of its own (a simulator, say) never sends its credentials to the real bank.
    """
    return str(given.get("authorization_url") or base_url or AUTHORIZATION_HOSTS[environment])


def header(name: str, given: Mapping[str, Any]) -> str:
    """Return what a header is called, in lower case, by the name of its option."""
    return options.spelling(given.get(name, HEADERS[name]))


def alternatives(callback: Callback, given: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield the other encoding of the key, and other headers that hold as many bytes as nonce, tag and checksum."""
    sizes = {name: _bytes_in(value) for name, value in callback.headers.items()}
    names = [
        sorted(
            (name for name, size in sizes.items() if size == wanted),
            key=lambda name: name != header(what, given),
        )
        or [header(what, given)]
        for what, wanted in SIZES.items()
    ]
    current = given.get("encoding", ENCODING)
    encodings = sorted(get_args(SecretEncoding), key=lambda encoding: encoding != current)
    for chosen in product(*names):
        renamed = {what: name for what, name in zip(SIZES, chosen, strict=True) if name != header(what, given)}
        for encoding in encodings:
            changes = {**renamed, **({"encoding": encoding} if encoding != current else {})}
            if changes:
                yield changes


def _bytes_in(value: bytes) -> int | None:
    try:
        return len(from_base64(value, "header"))
    except Refusal:
        return None


_KNOWN = (
    options.choice("encoding", "utf8", "base64"),
    options.allowed_addresses(),
    options.url("authorization_url"),
    *(options.header(name) for name in HEADERS),
    options.choice("parties", "store", NO_PARTIES),
    options.number("requests_per_window"),
    *options.watch(),
)
