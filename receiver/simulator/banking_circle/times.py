"""Times as the bank writes them."""

from datetime import datetime


def precise(moment: datetime, zone: str = "Z") -> str:
    """Return a time with seven digits of a second, such as `2023-09-23T14:53:52.8581798Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0{zone}"
