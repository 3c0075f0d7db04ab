"""What is stored of a request that carries its proof in the clear: the proof's digest in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.banks.callback import Carried
from receiver.signing import static_token

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})

PLAIN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "forwarded",
        "host",
        "traceparent",
        "transfer-encoding",
        "user-agent",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    }
)
"""What clients and proxies write, and no sender puts a token into.

Of other headers the digest of the value is stored, where a callback shows a token: it may have been put there."""

SEGMENT_MIN = static_token.CHARACTERS_MIN
"""A shorter segment of a path is no token, and may stand in other headers by chance."""


@dataclass(frozen=True)
class Redacted:
    """Path, channel and headers as they may be stored and shown."""

    path: str
    channel: str | None
    headers: dict[str, str]


def redact(
    path: bytes, channel: str | None, headers: Mapping[str, bytes], carried: Carried, tokens: Sequence[str] = ()
) -> Redacted:
    """Return what may be stored. Tokens are hidden whether they are right or not: a wrong one may be nearly right.

    `tokens` are those that would be right; where a callback shows one, they are hidden wherever they stand, in the name
    of a header too.
    """
    if not carried.shows_token:
        texts = {name: value.decode("latin-1") for name, value in headers.items() if name not in SECRET_HEADERS}
        return Redacted(_text(path), channel, texts)
    right = [token.encode() for token in tokens]
    shown = [segment.encode("latin-1", "replace") for segment in (channel or "").split("/")]
    hidden = {
        segment: static_token.hide(segment)
        for number, segment in enumerate(shown)
        if segment
        and (len(segment) >= SEGMENT_MIN or (carried.in_channel and number == 0 and len(shown) > 1) or segment in right)
    }
    if channel:
        stored = b"/".join(hidden.get(segment, segment) for segment in shown)
        path = path.removesuffix(channel.encode("latin-1", "replace")) + stored
        channel = stored.decode("latin-1")
    # Proxies repeat the path in headers of their own, in clear.
    known = {segment: digest for segment, digest in hidden.items() if len(segment) >= SEGMENT_MIN}
    known |= {token: static_token.hide(token) for token in right}
    plain = (PLAIN_HEADERS | carried.plain) - carried.headers
    # The names of headers come in small letters.
    in_names = {token.lower(): static_token.hide(token) for token in right}
    stored_headers = {
        _without(name.encode("latin-1"), in_names): _without(value, known)
        if name in plain
        else static_token.hide(value)
        for name, value in headers.items()
        if name not in SECRET_HEADERS or name in carried.headers or name == "authorization"
    }
    texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in stored_headers.items()}
    return Redacted(_text(path), channel, texts)


def _without(value: bytes, known: Mapping[bytes, bytes]) -> bytes:
    for token, digest in known.items():
        value = value.replace(token, digest)
    return value


def _text(path: bytes) -> str:
    return path.decode("latin-1").replace("\0", "")
