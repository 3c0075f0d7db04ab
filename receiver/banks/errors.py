"""How asking a bank can fail: each failure says by its kind what to do next, and carries the bank's own words."""

import binascii
import html
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, unquote_plus

from receiver.banks import json_values
from receiver.model import ReceiverError

CHARACTERS_MAX = 200
"""Of the bank's own words."""
ENTRIES_MAX = 3
"""A bank may list an error for each field; the first few tell enough."""

_WORDS = (
    "error",
    "errorCode",
    "message",
    "errorMessage",
    "errorText",
    "keyOrMessage",
    "propertyName",
    "errorDescription",
    "title",
    "detail",
)
"""The fields that hold words for staff, in the order in which they are shown."""


class BankError(ReceiverError):
    """Asking the bank failed. The text is for staff: never a secret, at most a line."""

    outcome = "failed"
    """The word for it in the list of checks."""


class Unreachable(BankError):
    """No answer came: no connection, a broken one, or none in time."""

    outcome = "unreachable"


class NotTrusted(Unreachable):
    """Whoever answered there has no certificate that proves it to be the bank."""


class CertificateUnusable(BankError):
    """There is no client certificate to present: none, no PFX, or one that can't be opened."""

    outcome = "certificate_unusable"


class PasscodeWrong(CertificateUnusable):
    """The passcode does not open the client certificate."""


class CertificateRefused(BankError):
    """The bank ended the TLS handshake: it wants a client certificate, or another one."""

    outcome = "certificate_refused"


class AnswerUnreadable(BankError):
    """An answer came that can't be understood: not JSON, of another shape, cut short, too long."""

    outcome = "answer_unreadable"


class ServerFailed(BankError):
    """The bank answered that it has failed (5xx)."""

    outcome = "bank_failed"


class RequestRefused(BankError):
    """The bank will not take this request (4xx)."""

    outcome = "refused"


class RefusedForNow(RequestRefused):
    """The bank took too long, or will not take this request yet (408, 425): what was asked for may come to be."""


class Conflict(RequestRefused):
    """The request is in conflict with another, or with how things stand (409)."""


class NotKnown(BankError):
    """The bank does not know what was asked for (404), or not yet."""

    outcome = "not_found"


class TokenRefused(BankError):
    """The access token, or the credentials for one, are not accepted (401)."""

    outcome = "unauthorised"


class Forbidden(BankError):
    """A permission is missing, or this machine's address is not on the bank's list (403)."""

    outcome = "forbidden"


class RateLimited(BankError):
    """The bank wants no request for a while (429)."""

    outcome = "rate_limited"

    def __init__(self, text: str, wait: timedelta) -> None:
        """Take the line for staff, and how long no request is to be made."""
        super().__init__(text)
        self.wait = wait


class NotOffered(BankError):
    """There is nobody to ask: the bank has no such API, or the source does not say where it is."""

    outcome = "not_offered"


class NothingShown(AnswerUnreadable):
    """The bank answered that all is well, and nothing else."""

    outcome = "empty"


OF_ONE_QUESTION = (AnswerUnreadable, Forbidden, NotKnown, RequestRefused, ServerFailed)
"""What may come of asking for more about a state that is known. All else is about the bank as a whole, or the token:
whoever asks has to hear it."""

ASKED_FOR_MORE = tuple(timedelta(minutes=minutes) for minutes in (1, 10, 60, 24 * 60))
"""When to ask once more, after a state that is final, for what else is told of it and did not come with it."""


def words_of(content: bytes, secrets: Sequence[str] = ()) -> str:
    """Return the bank's own words from the body of an error, in one short line; nothing where there are none.

    Shapes that banks use: `{"error","message"}`, a bare string, `{"errorCode","errorMessage"}`, problem details
    (RFC 9457) with or without `errors` by field, `{"errors":[{…}]}`, and `[{"errorCode","errorText"}]`. What was sent
    in confidence and comes back in them is left out (`masked`).
    """
    try:
        found = json_values.parse(content)
    except json_values.NotUnderstood:
        return ""
    text = found if isinstance(found, str) else ": ".join(_texts(found))
    return json_values.text({"words": masked(text, secrets)[:CHARACTERS_MAX]}, "words") or ""


WITHHELD = "(the bank's words repeat what it was sent in confidence)"

ESCAPED_MIN = 6
"""A shorter secret may stand in a decoded text by chance; as it is, it is masked all the same."""

LOOKED_AT_MAX = 4096
"""Characters of an answer's words: what follows is not shown."""

LAYERS_MAX = 3
"""Ways of writing on top of each other, such as a JSON text in a URL in an HTML page."""

VIEWS_MAX = 500


def masked(text: str, secrets: Sequence[str]) -> str:
    """Return what a bank says without the secrets that it was sent.

    One that comes back as it was sent is replaced (redacted). One that comes back in another way of writing (escaped
    for JSON, for a URL or for HTML, in Base64 or as hexadecimal digits) could be recovered from it, and so the whole
    text is withheld.
    """
    whole, text = text, text[:LOOKED_AT_MAX]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    # What was cut in the middle of a secret would show its beginning, where what is before it has shrunk.
    is_cut_short = len(whole) > LOOKED_AT_MAX and len(text) < LOOKED_AT_MAX
    escaped = [secret for secret in secrets if len(secret) >= ESCAPED_MIN]
    if is_cut_short or any(secret in view for view in _views(text) for secret in escaped):
        return WITHHELD
    return text


def _views(text: str) -> Iterator[str]:
    """Yield a text in every way in which it can be read, and what comes of these once more, up to a bound."""
    seen, layer = {text}, [text]
    for _ in range(LAYERS_MAX):
        found: list[str] = []
        for view in layer:
            for decode in _DECODERS:
                for decoded in decode(view):
                    if decoded not in seen and len(seen) < VIEWS_MAX:
                        seen.add(decoded)
                        found.append(decoded)
                        yield decoded
        layer = found


_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([\"'\\/]))")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[ :]?){6,}")


def _unescaped(text: str) -> Iterator[str]:
    yield _ESCAPE.sub(lambda found: found[3] or chr(int(found[1] or found[2], 16)), text)


def _from_base64(text: str) -> Iterator[str]:
    """Yield what each word stands for: it may begin anywhere, since four characters make three bytes."""
    for word in _BASE64.findall(text):
        standard = word.replace("-", "+").replace("_", "/")
        for begin in range(4):
            part = standard[begin:]
            if len(part) % 4 == 1:
                part = part[:-1]
            try:
                yield b64decode(part + "=" * (-len(part) % 4)).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                continue


def _from_hex(text: str) -> Iterator[str]:
    for digits in _HEX.findall(text):
        yield bytes.fromhex(re.sub("[ :]", "", digits)).decode("utf-8", "replace")


_DECODERS: tuple[Callable[[str], Iterator[str]], ...] = (
    lambda text: iter((unquote(text), unquote_plus(text))),
    lambda text: iter((html.unescape(text),)),
    _unescaped,
    _from_base64,
    _from_hex,
)


def _texts(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        yield from _named(found)
        yield from _error_entries(found.get("errors"))
    elif isinstance(found, list):
        yield from _error_entries(found)


def _named(fields: Mapping[str, Any]) -> Iterator[str]:
    by_name = {name.lower(): value for name, value in fields.items()}
    for name in _WORDS:
        value = by_name.get(name.lower())
        # A status in place of a word tells nothing that the status code does not.
        if isinstance(value, str) and value:
            yield value


def _error_entries(errors: Any) -> Iterator[str]:
    if isinstance(errors, dict):
        for field, texts in list(errors.items())[:ENTRIES_MAX]:
            listed = texts if isinstance(texts, list) else [texts]
            yield f"{field} " + ", ".join(text for text in listed[:ENTRIES_MAX] if isinstance(text, str))
    elif isinstance(errors, list):
        for entry in errors[:ENTRIES_MAX]:
            if isinstance(entry, dict):
                yield ": ".join(_named(entry))
            elif isinstance(entry, str):
                yield entry
    elif isinstance(errors, str):
        yield errors
