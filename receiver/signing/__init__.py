"""Proofs of origin as pure functions (bytes and keys in, the matching key out), and what else is signed or keyed.

Nothing here knows a bank, a clock, a database or a web framework. Every refusal is a `Refusal`.
"""
