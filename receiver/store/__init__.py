"""What is written down: SQLModel tables, and the queries over them by subject. No HTTP, no knowledge of any bank."""
