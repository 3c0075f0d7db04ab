"""Why an act of a person was not done: nothing of that name, or not as things stand."""


class NotFound(Exception):
    """There is nothing of this name or id (the API's 404)."""


class NotPossible(Exception):
    """It can't be done as things stand (the API's 409); the text says what stands in the way."""
