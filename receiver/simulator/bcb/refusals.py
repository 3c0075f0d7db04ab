"""How the bank says no."""


class BankRefusal(Exception):
    """The bank answers with an error: its HTTP status, a short name and a sentence."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(f"{status} {error}: {message}")
        self.status = status
        self.error = error
        self.message = message


class TooManyRequests(BankRefusal):
    """429; the caller may come back in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(429, "Rate limit exceeded", "Too many requests")
        self.seconds = seconds


def unauthorised() -> BankRefusal:
    """Return the refusal of a caller whose token is missing, unknown or expired, or whose credentials are wrong."""
    return BankRefusal(401, "Unauthorized", "Authentication failed")


def not_found(what: str) -> BankRefusal:
    """Return the refusal for something that the bank does not know."""
    return BankRefusal(404, "Not found", f"{what} not found")
