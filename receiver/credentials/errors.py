"""How changing credentials can end otherwise than with new ones."""


class CredentialsError(Exception):
    """A change of credentials is not done. The text is for staff: never a secret."""


class BankWithoutCredentials(CredentialsError):
    """The bank has no API for credentials."""


class AlreadyUnderWay(CredentialsError):
    """Another change of the same source is unfinished."""


class NothingUnderWay(CredentialsError):
    """There is no unfinished change."""


class ChangeRefused(CredentialsError):
    """The bank will not do it, or somebody ended it; the secrets are those of before."""


class ChangeUnfinished(CredentialsError):
    """The bank may have done it or not: the answer is to be asked for again."""
