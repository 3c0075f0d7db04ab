"""The payload of one event, out of the callback that told it first: decrypted, and this notification alone."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from receiver import banks
from receiver.banks.callback import Profile
from receiver.banks.json_values import NotUnderstood
from receiver.inbox.reverify import callback_of
from receiver.inbox.verification import digest_of
from receiver.model import Gone
from receiver.signing.errors import Refusal
from receiver.store.deliveries import DeliveryRecord
from receiver.store.sources import SourceRecord

INDENT = "  "
DEPTH_MAX, INDENTED_CHARACTERS_MAX = 32, 1024 * 1024
"""What is nested deeper is indented no further, what is longer not at all: spaces might come to many times its size."""

OPENING, CLOSING = ("{", "["), ("}", "]")

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
"""Of a text that is JSON: a string, a sign, or a number or word."""


def payload(
    source: SourceRecord, secrets: Sequence[tuple[str, str]], row: DeliveryRecord, body: bytes, identity: bytes
) -> str:
    """Return the notification that told an event, as JSON with indents; what is no JSON as one JSON string.

    `secrets` are all versions of the source's secret, `row` is the delivery that told it first, `body` its body and
    `identity` the SHA-256 of the event's identity.

    Raises:
        Gone: no secret that is stored opens it, or it is not found in what is opened.
    """
    bank = banks.named(source.bank)
    try:
        content = bank.opened(callback_of(row, body), Profile(source.name, source.options, secrets))
    except Refusal as refusal:
        raise Gone(f"the payload can't be opened any more: {refusal.detail}") from refusal
    try:
        for parts, text in bank.notifications(content):
            if not parts or digest_of(parts) == identity:
                return indented(text)
    except NotUnderstood:
        return indented(content.decode("utf-8-sig", "replace"))
    raise Gone("the notification is not found in the callback that told it")


def indented(text: str) -> str:
    """Return a JSON text with its values on lines of their own, each as it was written: no number is rounded.

    What is no JSON becomes one JSON string.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return json.dumps(text)
    if len(text) > INDENTED_CHARACTERS_MAX:
        return text
    return "".join(_lines(_WORD.findall(text)))


def _lines(words: Iterable[str]) -> Iterator[str]:
    depth, before = 0, ""
    for word in words:
        depth -= word in CLOSING
        # An opening sign is followed by a new line, a closing one preceded; of an empty pair neither.
        if before == "," or (before in OPENING) != (word in CLOSING):
            yield "\n" + INDENT * min(depth, DEPTH_MAX)
        yield ": " if word == ":" else word
        depth += word in OPENING
        before = word
