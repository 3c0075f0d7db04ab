"""Why an act of a person was not done: nothing of that name, or not as things stand."""

from receiver.model import ReceiverError


class NotFound(ReceiverError):
    """There is nothing of this name or id (the API's 404)."""


class NotPossible(ReceiverError):
    """It can't be done as things stand (the API's 409); the text says what stands in the way."""
