"""Learning the truth: which payments and jobs are due, asking the bank, and what its answer changes."""
