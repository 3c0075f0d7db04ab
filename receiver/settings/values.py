"""How the values of settings are read that are more than a number or a word: keys, sockets, tables, certificates."""

import base64
import binascii
import re
import ssl
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import NamedTemporaryFile

from receiver.model import Severity
from receiver.signing.pem import is_bare_pem, pem_blocks

KEY_BYTES = 32

_NO_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no value of a header may hold (RFC 9110 section 5.5)."""

_UNPADDED = re.compile(r"[A-Za-z0-9_-]+")

PATH = re.compile(r"(/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)*")

HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

UNIX = "unix:"

UNIX_PATH_BYTES_MAX = 107
"""Linux's limit on the name of a socket, see unix(7)."""

_AMOUNT = re.compile(r"(high|medium)(?::([A-Z]{3}))?=([0-9]{1,15}(?:\.[0-9]{1,4})?)")

_AGE = re.compile(r"(high|medium)=([0-9]{1,8})")

AGE_SECONDS_MAX = 365 * 86400


def read_amounts(text: str) -> list[tuple[Severity, str, Decimal]]:
    """Read a table of amounts, each with its severity and its currency, which is empty for all others.

    Raises:
        ValueError
    """
    found = [_AMOUNT.fullmatch(part.strip()) for part in text.split(",") if part.strip()]
    read = [(Severity(each[1]), each[2] or "", Decimal(each[3])) for each in found if each]
    if len(read) != len(found):
        raise ValueError("not SEVERITY=AMOUNT or SEVERITY:CURRENCY=AMOUNT")
    if len({row[:2] for row in read}) != len(read):
        raise ValueError("one is given twice")
    return read


def read_ages(text: str) -> list[tuple[Severity, timedelta]]:
    """Read a table of ages, each with its severity.

    Raises:
        ValueError
    """
    found = [_AGE.fullmatch(part.strip()) for part in text.split(",") if part.strip()]
    read = [(Severity(each[1]), int(each[2])) for each in found if each]
    if len(read) != len(found) or any(seconds > AGE_SECONDS_MAX for _, seconds in read):
        raise ValueError("not SEVERITY=SECONDS")
    if len({level for level, _ in read}) != len(read):
        raise ValueError("one is given twice")
    return [(level, timedelta(seconds=seconds)) for level, seconds in read]


def check_key(key: str) -> None:
    """Look whether a secret key is one.

    Raises:
        ValueError
    """
    if not {"+", "/"}.isdisjoint(key):
        raise ValueError("URL-safe Base64 has - for + and _ for /")
    if _UNPADDED.fullmatch(key) and len(key) % 4 > 1:
        raise ValueError("not padded: `=` is missing at its end")
    try:
        size = len(base64.b64decode(key, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError("not URL-safe Base64") from error
    if size != KEY_BYTES:
        raise ValueError(f"a key has {size} bytes")


def header_text(value: str) -> str:
    """Read what is shown in a header, which can't end in blanks, such as the end of the line that it was read from.

    Raises:
        ValueError: nothing is left, or no header can hold it.
    """
    text = value.strip()
    if not text or _NO_HEADER.search(text):
        raise ValueError("blanks alone, or with what no header can hold")
    return text


def check_pair(certificate: Path, key: Path) -> None:
    """Look whether a certificate and its key can be read, and fit together.

    Raises:
        ValueError
    """
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    except OSError as error:
        text = "RECEIVER_TLS_CERTIFICATE and RECEIVER_TLS_KEY are wrong; they take: a PEM certificate and its key"
        raise ValueError(f"{text}, both readable, the key not encrypted") from error


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load a certificate and its key, in PEM, with whatever else stands in the files, such as a byte-order mark.

    Raises:
        OSError: they can't be read, or do not fit together (`ssl.SSLError`).
    """
    # With an empty password, an encrypted key is an error instead of a question at the terminal.
    if is_bare_pem(certificate.read_bytes()) and is_bare_pem(key.read_bytes()):
        context.load_cert_chain(certificate, key, password="")
        return
    # OpenSSL reads files alone; this one is for this user, and gone as soon as it was read.
    with NamedTemporaryFile() as file:
        file.write(pem_blocks(key.read_bytes()) + pem_blocks(certificate.read_bytes()))
        file.flush()
        context.load_cert_chain(file.name, password="")


def socket_path(value: str) -> str:
    """Read where a socket is in the file system, with or without two slashes; return it as `unix:/PATH`.

    Raises:
        ValueError
    """
    path = re.sub(r"^unix:(//)?", "", value)
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError("no absolute path of a socket")
    if len(path.encode()) > UNIX_PATH_BYTES_MAX:
        raise ValueError(f"a socket's path has up to {UNIX_PATH_BYTES_MAX} bytes")
    return f"{UNIX}{path}"
