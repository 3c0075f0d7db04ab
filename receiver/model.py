"""What our server leaves for the application in WSGI's environment (PEP 3333)."""

CUT_SHORT = "receiver.cut_short"
"""A function without arguments that tells whether the server has stopped reading the request of its own accord."""
