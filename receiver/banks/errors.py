"""How asking a bank can fail; each failure says what to do next by its kind."""

from datetime import timedelta


class BankError(Exception):
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
        super().__init__(text)
        self.wait = wait


class NotOffered(BankError):
    """There is nobody to ask: the bank has no such API, or the source does not say where it is."""

    outcome = "not_offered"


class NothingShown(AnswerUnreadable):
    """The bank answered that all is well, and nothing else."""

    outcome = "empty"
