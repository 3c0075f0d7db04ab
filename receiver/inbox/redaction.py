"""What is stored of a request that carries its proof in the clear: the proof's digest in its place."""

from collections.abc import Mapping
from dataclasses import dataclass

from receiver.banks.protocol import Carried
from receiver.signing import static_token

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})

SEGMENT_MIN = static_token.CHARACTERS_MIN
"""A shorter first segment of a channel is no token, and may stand in other headers by chance."""


@dataclass(frozen=True)
class Redacted:
    """Path, channel and headers as they may be stored and shown."""

    path: str
    channel: str | None
    headers: dict[str, str]


def redact(path: bytes, channel: str | None, headers: Mapping[str, bytes], carried: Carried) -> Redacted:
    """Return what may be stored. Tokens are hidden whether they are right or not: a wrong one may be nearly right."""
    hidden = {
        name: static_token.hide(value) if name in carried.headers else value
        for name, value in headers.items()
        if name in carried.headers or name not in SECRET_HEADERS
    }
    if carried.in_channel and channel:
        segment, slash, rest = channel.partition("/")
        shown, digest = segment.encode("latin-1", "replace"), static_token.hide(segment.encode("latin-1", "replace"))
        path = (
            path.removesuffix(channel.encode("latin-1", "replace"))
            + digest
            + f"{slash}{rest}".encode("latin-1", "replace")
        )
        channel = f"{digest.decode()}{slash}{rest}"
        if len(shown) >= SEGMENT_MIN:
            # Proxies repeat the path in headers of their own.
            hidden = {name: value.replace(shown, digest) for name, value in hidden.items()}
    texts = {name: value.decode("latin-1") for name, value in hidden.items()}
    return Redacted(path.decode("latin-1").replace("\0", ""), channel, texts)
