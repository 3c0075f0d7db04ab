"""What can be set for a Banqup source, and what must be: by what its callbacks are proven."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from receiver.banks import options, urls
from receiver.banks.protocol import Callback, Carried, OptionsWrong
from receiver.signing import static_token
from receiver.signing.errors import Refusal

PATH, HEADER = "path", "header"

TOKEN_HEADER = "x-banqup-token"  # noqa: S105 - a header's name
TOKEN_PATH = "/oauth2/client_credential/gettoken"  # noqa: S105 - an address
LISTENER_FIELD = "basePath"

_KNOWN = (
    options.choice("token_in", PATH, HEADER),
    options.header("token_header"),
    options.allowed_addresses(),
    options.word("space"),
    options.path("token_path"),
    options.word("listener_field"),
    *options.watch(),
)


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `token_in`: callbacks show the source's secret in the `path` or in a `header`.
    `token_header`: which header (default `x-banqup-token`).
    `allowed_addresses`: where callbacks may come from. This or `token_in` is required.
    `space`: the id of the space that payments are in, where messages do not say it.
    `token_path`: where access tokens are fetched.
    `listener_field`: the field that tells the listener's address when it is registered (default `basePath`).
    `quiet_hours`: after how long without a callback a warning is given (default 0, for never).
    `business_hours`: which of these hours count, `DAYS,HH:MM-HH:MM,ZONE` (default all).
    `business_days`: its business days and when each ends, `DAYS,HH:MM,ZONE` (default every day, UTC).

    Raises:
        OptionsWrong
    """
    stored = options.check("banqup", given, _KNOWN)
    if not proofs(stored):
        raise OptionsWrong(
            "nothing would prove a callback of banqup: give token_in=path, token_in=header or allowed_addresses=…"
        )
    return stored


def check_base_url(url: str) -> None:
    """Accept an HTTPS address.

    Raises:
        OptionsWrong
    """
    if not url.startswith("https://"):
        raise OptionsWrong(f"banqup takes HTTPS only, not {url!r}")
    try:
        urls.check(url)
    except ValueError as error:
        raise OptionsWrong(f"{error}; not {url!r}") from None


def check_secret(secret: str, given: Mapping[str, Any]) -> None:
    """Accept a token for where it is to stand.

    Raises:
        Refusal: `secret_not_wanted` where none is to stand anywhere, `secret_malformed`.
    """
    if not needs_secret(given):
        raise Refusal("secret_not_wanted", "this source's callbacks show no token: it has no option token_in")
    static_token.check(secret, in_path=given["token_in"] == PATH)


def token_header(given: Mapping[str, Any]) -> str:
    """Return the name of the header that shows the token, in lower case."""
    return options.spelling(given.get("token_header", TOKEN_HEADER))


def needs_secret(given: Mapping[str, Any]) -> bool:
    """Tell whether callbacks show a token."""
    return "token_in" in given


def proofs(given: Mapping[str, Any]) -> Sequence[str]:
    """Return by what callbacks are proven: a token, an address, both; nothing where the options name neither."""
    allowed = given.get("allowed_addresses", ())
    listed = ("address",) if allowed and not options.takes_any_address(allowed) else ()
    return ("token", *listed) if needs_secret(given) else listed


def carried(given: Mapping[str, Any]) -> Carried:
    """Return where the token stands in the clear, to be redacted; it may come anywhere else too."""
    place = given.get("token_in")
    headers = frozenset({token_header(given)} if place == HEADER else ())
    return Carried(headers, in_channel=place == PATH, everywhere=True)


def alternatives(callback: Callback, given: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield the path, and every header, in which a token may have come."""
    if given.get("token_in") != PATH:
        yield {"token_in": PATH}
    for name in callback.headers:
        if name in options.RESERVED_HEADERS or (given.get("token_in") == HEADER and name == token_header(given)):
            continue
        in_header = {} if given.get("token_in") == HEADER else {"token_in": HEADER}
        named = {} if name == token_header(given) else {"token_header": name}
        yield {**in_header, **named}


def listener_path(given: Mapping[str, Any], secret: str | None) -> str:
    """Return the secret as a path where it is to stand there; Banqup puts `/messages` behind it."""
    return f"/{secret}" if given.get("token_in") == PATH and secret else ""
