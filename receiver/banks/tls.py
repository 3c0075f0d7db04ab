"""TLS towards a bank: presenting a client certificate, and telling what went wrong with a handshake."""

import ssl
from collections.abc import Iterator
from typing import Any

from requests.adapters import HTTPAdapter

from receiver.banks.errors import BankError, CertificateRefused, NotTrusted

_REFUSED = {
    "HANDSHAKE_FAILURE": "the bank ended the TLS handshake, as it does where no client certificate is presented",
    "CERTIFICATE_REQUIRED": "the bank wants a client certificate, and none was presented",
    "UNKNOWN_CA": "the bank does not know who issued the client certificate: it is the wrong one",
    "CERTIFICATE_EXPIRED": "the client certificate has expired",
    "CERTIFICATE_REVOKED": "the client certificate has been revoked",
    "BAD_CERTIFICATE": "the bank does not take the client certificate: it is the wrong one",
    "UNSUPPORTED_CERTIFICATE": "the bank does not take a client certificate of this kind",
    "CERTIFICATE_UNKNOWN": "the bank does not take the client certificate",
    "ACCESS_DENIED": "the bank does not take the client certificate",
    "DECRYPT_ERROR": "the client certificate and its key do not fit together",
}
"""TLS alerts (RFC 8446 section 6.2) in words, by the end of OpenSSL's name for them."""

_DEPTH_MAX = 10


class Presenting(HTTPAdapter):
    """An adapter for `requests` over one TLS context, which holds client certificate and CAs already."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See requests."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """See requests."""
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the CAs to the context: requests would put all public ones beside a private one."""
        conn.cert_reqs = "CERT_REQUIRED"


def fault(error: BaseException) -> BankError | None:
    """Return what an exception of an HTTP call says of the TLS handshake; none where it was not about that."""
    found = next(_handshakes(error), None)
    if found is None:
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return NotTrusted(f"the bank's own certificate is not trusted: {found.verify_message}")
    reason = found.reason or ""
    words = next((words for end, words in _REFUSED.items() if reason.endswith(end)), None)
    return CertificateRefused(words) if "ALERT" in reason and words else None


def _handshakes(error: BaseException | None, depth: int = 0) -> Iterator[ssl.SSLError]:
    """Libraries wrap the error of the handshake in several others, each in its own way."""
    if error is None or depth > _DEPTH_MAX:
        return
    if isinstance(error, ssl.SSLError):
        yield error
    inner = [*error.args, getattr(error, "reason", None), error.__cause__, error.__context__]
    for one in inner:
        if isinstance(one, BaseException):
            yield from _handshakes(one, depth + 1)
