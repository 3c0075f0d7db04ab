"""What is written down: SQLModel tables, and the queries over them by subject. No HTTP, no knowledge of any bank.

What a query returns is a typed record (`…Record`, a `NamedTuple` mostly), which stands in the module of its queries;
what callers hand in to be written down stands in `records`, because several modules take it. No database row leaves
this room.
"""
