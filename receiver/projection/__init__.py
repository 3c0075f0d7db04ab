"""The projection: all that follows from events, derived once they are committed, many at a time."""
