"""Accepting one delivery: undo its content coding, prove it genuine, write it down once, say what became of it."""
