"""Proofs of origin as pure functions: bytes and keys in, the key that matched out.

Nothing here knows a bank, a clock, a database or a web framework. Every refusal is a `Refusal`.
"""
