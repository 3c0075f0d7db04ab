"""What can be set for a Banqup source, and what must be: by what its callbacks are proven."""

from collections.abc import Mapping
from typing import Any

from receiver.banks import options
from receiver.banks.protocol import Carried, OptionsWrong
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
)


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `token_in`: callbacks show the source's secret in the `path` or in a `header`.
    `token_header`: which header (default `x-banqup-token`).
    `allowed_addresses`: where callbacks may come from. This or `token_in` is required.
    `space`: the id of the space that payments are in, where messages do not say it.
    `token_path`: where access tokens are fetched.
    `listener_field`: the field that tells the listener's address when it is registered (default `basePath`).

    Raises:
        OptionsWrong
    """
    stored = options.check("banqup", given, _KNOWN)
    if "token_in" not in stored and not lists_addresses(stored):
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


def check_secret(secret: str, given: Mapping[str, Any]) -> None:
    """Accept a token for where it is to stand.

    Raises:
        Refusal
    """
    if "token_in" not in given:
        raise Refusal("secret_not_wanted", "this source's callbacks show no token: it has no option token_in")
    static_token.check(secret, in_path=given["token_in"] == PATH)


def token_header(given: Mapping[str, Any]) -> str:
    """Return the name of the header that shows the token, in lower case."""
    return str(given.get("token_header", TOKEN_HEADER))


def carried(given: Mapping[str, Any]) -> Carried:
    """Return where the token stands."""
    place = given.get("token_in")
    return Carried(frozenset({token_header(given)} if place == HEADER else ()), in_channel=place == PATH)


def lists_addresses(given: Mapping[str, Any]) -> bool:
    """Tell whether there is a list of addresses that leaves some out."""
    listed = given.get("allowed_addresses", ())
    return bool(listed) and not any(text.endswith("/0") for text in listed)
