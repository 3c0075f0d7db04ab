"""A session with one source's bank: shared token, shared request budget, one retry after a refused token."""
