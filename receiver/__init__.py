"""Receives banks' payment callbacks: proven genuine, written down once, checked with the bank, told in order."""

__version__ = "0.1.0"
